"""All that an evaluation found: what rules judge and reports show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tensorflow_model_analysis.proto import validation_result_pb2

from tfx_federated.fairness_evaluator import cell_metrics, silo_table, slice_results, slice_rows
from tfx_federated.statistics import arrays, bootstrap


@dataclass(frozen=True)
class SlicedMetric:
    """The judged metric in the slices of a further specification.

    Attributes:
        spec: The specification.
        results: Its slices.
        rows: [slices].
        values: The candidate's metric, [slices]; NaN where undefined.
    """

    spec: slice_rows.SliceSpec
    results: slice_results.SliceResults
    rows: arrays.Vector
    values: arrays.Vector


@dataclass(frozen=True)
class SiloCells:
    """The candidate's cells.

    Attributes:
        by_silo: A slice is a published silo.
        overall: One slice of all rows.
    """

    by_silo: cell_metrics.SliceCells
    overall: cell_metrics.SliceCells


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes:
        table: Values, intervals and gains by silo.
        parity: Largest gap between silos by rate; without those that are undefined.
        rates: The rates themselves by name, [silos]; NaN where the rows are too few.
        cells: None if TFMA evaluated row by row.
        slices: The further specifications.
        validation: TFMA's verdict on its thresholds; None if eval_config has none.
    """

    table: silo_table.SiloTable
    parity: Mapping[str, bootstrap.Estimate]
    rates: Mapping[str, arrays.Vector]
    cells: SiloCells | None
    slices: Sequence[SlicedMetric]
    validation: validation_result_pb2.ValidationResult | None
