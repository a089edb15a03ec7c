"""TFMA's metrics of every slice of one specification, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.slicer import slicer_lib

from tfx_federated.fairness_evaluator import cell_evaluator, cell_metrics, cells, slice_rows
from tfx_federated.statistics import arrays


@dataclass(frozen=True)
class SliceResults:
    """Metrics of slices.

    Attributes:
        slices: TFMA's slice key of each slice.
        names: Columns that name a slice, as `slice_rows.SliceSpec.columns` calls them, [slices] each.
        values: By TFMA's metric key, [slices]. Meant where `present`.
        present: By model, whether it has a prediction for a row of the slice, [slices].
    """

    slices: list[slicer_lib.SliceKeyType]
    names: Mapping[str, Sequence]
    values: Mapping[metric_types.MetricKey, arrays.Vector]
    present: Mapping[str, arrays.Mask]

    def where(self, chosen: arrays.Mask) -> SliceResults:
        """Returns the results of the chosen slices, [slices]."""
        return SliceResults(
            [key for key, is_chosen in zip(self.slices, chosen, strict=True) if is_chosen],
            {
                name: [value for value, kept in zip(values, chosen, strict=True) if kept]
                for name, values in self.names.items()
            },
            {key: values[chosen] for key, values in self.values.items()},
            {model: mask[chosen] for model, mask in self.present.items()},
        )


def of_spec(
    folder: str,
    number: int,
    evaluation: cell_evaluator.Evaluation,
    metrics: Sequence[cell_metrics.CellMetric],
    baseline: str | None,
) -> SliceResults:
    """Reads the cells of a specification and returns its metrics, in the order of the slices' names.

    Args:
        folder: Where the cells were written.
        number: Position of the specification.
        evaluation: What was kept.
        metrics: The metrics.
        baseline: Name of the model with which TFMA's diffs are made, or None.
    """
    spec = evaluation.specs[number]
    parts = [_of_part(table, spec, evaluation, metrics) for table in cell_evaluator.read(folder, number)]
    if not parts:
        return SliceResults([], {name: [] for name in spec.columns()}, {}, {})
    names = pd.concat([part[0] for part in parts], ignore_index=True)
    order = names.sort_values(list(names.columns), kind="stable").index if len(names.columns) else names.index
    values = {key: np.concatenate([part[1][key] for part in parts])[order] for key in parts[0][1]}
    present = {model: np.concatenate([part[2][model] for part in parts])[order] for model in evaluation.models}
    columns = {name: names[name].to_numpy()[order].tolist() for name in names.columns}
    values = {key: _present_only(value, present[key.model_name]) for key, value in values.items()}
    if baseline is not None:
        values |= _diffs(values, evaluation.models[0], baseline)
    return SliceResults(_slice_keys(columns, spec, evaluation, len(order)), columns, values, present)


def groups_of_part(table: pa.Table, spec: slice_rows.SliceSpec) -> tuple[arrays.IntVector, pd.DataFrame]:
    """Returns the number of each cell's slice, [cells], and the columns that name the slices, a row for each."""
    columns = spec.columns()
    if not columns:
        return np.zeros(table.num_rows, np.int64), pd.DataFrame(index=[0])
    names = table.select(columns).to_pandas()
    grouped = names.groupby(columns, sort=True)
    return grouped.ngroup().to_numpy(), names.drop_duplicates().sort_values(columns).reset_index(drop=True)


def slice_cells(
    table: pa.Table, group: arrays.IntVector, groups: int, layout: cells.Layout, model: int, weighted: bool
) -> cell_metrics.SliceCells:
    """Returns the cells of one model and weighting."""
    chosen = table[cells.MODEL].to_numpy() == model
    chosen &= table[cells.WEIGHTED].to_numpy() == weighted
    own = table.filter(pa.array(chosen))
    return cell_metrics.SliceCells(
        group=group[chosen],
        groups=groups,
        bucket=own[cells.BUCKET].to_numpy().astype(np.int64),
        sums={name: own[name].to_numpy() for name in layout.sums()},
        edges=layout.edges,
    )


def _of_part(
    table: pa.Table,
    spec: slice_rows.SliceSpec,
    evaluation: cell_evaluator.Evaluation,
    metrics: Sequence[cell_metrics.CellMetric],
) -> tuple[pd.DataFrame, dict[metric_types.MetricKey, arrays.Vector], dict[str, arrays.Mask]]:
    group, names = groups_of_part(table, spec)
    values: dict[metric_types.MetricKey, arrays.Vector] = {}
    present: dict[str, arrays.Mask] = {}
    for number, model in enumerate(evaluation.models):
        for weighted in evaluation.layout.weightings:
            own = slice_cells(table, group, len(names), evaluation.layout, number, weighted)
            present[model] = own.total("rows") > 0
            for metric, key in _wanted(metrics, model, weighted):
                values |= {key._replace(name=name): value for name, value in metric.read(own).items()}
    return names, values, present


def _wanted(
    metrics: Sequence[cell_metrics.CellMetric], model: str, weighted: bool
) -> Iterator[tuple[cell_metrics.CellMetric, metric_types.MetricKey]]:
    for metric in metrics:
        for key in metric.keys:
            if key.model_name == model and bool(key.example_weighted) == weighted:
                yield metric, key


def _present_only(values: arrays.Vector, present: arrays.Mask) -> arrays.Vector:
    return np.where(present, values, np.nan)


def _diffs(
    values: Mapping[metric_types.MetricKey, arrays.Vector], candidate: str, baseline: str
) -> dict[metric_types.MetricKey, arrays.Vector]:
    return {
        key.make_diff_key(): value - values[key.make_baseline_key(baseline)]
        for key, value in values.items()
        if key.model_name == candidate and key.make_baseline_key(baseline) in values
    }


def _slice_keys(
    columns: Mapping[str, Sequence],
    spec: slice_rows.SliceSpec,
    evaluation: cell_evaluator.Evaluation,
    number: int,
) -> list[slicer_lib.SliceKeyType]:
    fixed: list[tuple] = [(feature, slicer_lib._to_type(value)) for feature, value in spec.values]
    if spec.only_silo is not None:
        fixed.append((evaluation.silo_key, evaluation.silos.slice_value(spec.only_silo)))
    parts: list[list[tuple]] = []
    if spec.by_silo:
        silos = columns[slice_rows.SILO]
        parts.append([(evaluation.silo_key, evaluation.silos.slice_value(silo)) for silo in silos])
    for feature in spec.features:
        parts.append([(feature, _slice_value(value)) for value in columns[slice_rows.column(feature)]])
    if not parts:
        return [tuple(sorted(fixed))] * number
    return [tuple(sorted([*fixed, *key], key=lambda pair: pair[0])) for key in zip(*parts, strict=True)]


def _slice_value(value: bytes | float | int) -> str | float | int:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
