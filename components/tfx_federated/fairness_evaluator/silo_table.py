"""The evaluation as a plain table: one row per silo, and one for all rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2

from tfx_federated.fairness_evaluator import evaluation_config


@dataclass(frozen=True)
class SliceMetrics:
    """What was measured on one slice.

    Attributes:
        name: The silo, or the empty string for the slice of all rows.
        rows: Number of evaluated rows.
        positives: Number of rows with label 1, or None if labels are not all 0 or 1.
        value: Metric of the judged model, or None where it is undefined (AUC of rows of one class).
        baseline: Metric of the baseline model, or None.
        local: Metric of the silo's own model, or None if it does not predict every row.
    """

    name: str
    rows: int
    positives: int | None
    value: float | None
    baseline: float | None
    local: float | None


@dataclass(frozen=True)
class SiloTable:
    """Overall and per-silo metrics; silos in the order of their names."""

    overall: SliceMetrics
    silos: tuple[SliceMetrics, ...]

    @property
    def rows_without_silo(self) -> int:
        """Number of rows that count in the overall metrics only."""
        return self.overall.rows - sum(silo.rows for silo in self.silos)


def read(evaluation_uri: str, eval_config: config_pb2.EvalConfig, silo_key: str, metric: str) -> SiloTable:
    """Reads the table from the files that TFMA wrote.

    Args:
        evaluation_uri: Folder of the evaluation.
        eval_config: The completed configuration of that evaluation.
        silo_key: Name of the feature that holds the silo.
        metric: Name of the metric.

    Raises:
        ValueError: No row was evaluated, no row has a silo, the metric is not a number, or it was computed both
            weighted and unweighted.
    """
    slices: dict[str, Mapping[tuple[str, str], float | None]] = {}
    for metrics in tfma.load_metrics(evaluation_uri):
        name = _silo_of_slice(metrics.slice_key, silo_key)
        if name is None:
            continue
        if name in slices:
            raise ValueError(f"silo {name!r} is a string in some rows and an integer in others; give it one type")
        slices[name] = _values(metrics.metric_keys_and_values, metric)
    if not slices:
        raise ValueError("the examples hold no row; check the splits that are evaluated")
    if set(slices) == {""}:
        raise ValueError(f"silo key {silo_key!r} is in no row; check the silo_key of FairnessEvaluator")
    candidate = evaluation_config.candidate_name(eval_config)
    binary = _labels_are_binary(slices.values(), candidate)
    table = {name: _slice_metrics(name, values, candidate, metric, binary) for name, values in slices.items()}
    if evaluation_config.needs_both_classes(eval_config, metric):
        table = {name: _undefined_for_one_class(metrics) for name, metrics in table.items()}
    return SiloTable(table.pop(""), tuple(table[name] for name in sorted(table)))


def _silo_of_slice(key: metrics_for_slice_pb2.SliceKey, silo_key: str) -> str | None:
    parts = key.single_slice_keys
    if not parts:
        return ""
    if len(parts) > 1 or parts[0].column != silo_key:
        return None
    kind = parts[0].WhichOneof("kind")
    value = getattr(parts[0], kind)
    return value.decode("utf-8") if kind == "bytes_value" else str(value)


def _values(
    pairs: Iterable[metrics_for_slice_pb2.MetricKeyAndValue], metric: str
) -> Mapping[tuple[str, str], float | None]:
    values: dict[tuple[str, str], float | None] = {}
    for pair in pairs:
        key = pair.key
        counted = key.name in ("example_count", "mean_label")
        if key.is_diff or key.HasField("sub_key") or not (counted or key.name == metric):
            continue
        if counted and key.name != metric and key.example_weighted.value:
            continue
        if (key.model_name, key.name) in values:
            raise ValueError(
                f"metric {metric!r} is computed several times (weighted and unweighted, or for several outputs); keep "
                "one in eval_config's metrics_specs"
            )
        values[key.model_name, key.name] = _number(pair.value, key.name)
    return values


def _number(value: metrics_for_slice_pb2.MetricValue, name: str) -> float | None:
    kind = value.WhichOneof("type")
    if kind not in ("double_value", "bounded_value"):
        raise ValueError(f"metric {name!r} is not one number but a {kind}; name a metric that is one number")
    number = getattr(value, kind).value
    number = number.value if hasattr(number, "value") else number
    return number if math.isfinite(number) else None


def _labels_are_binary(slices: Iterable[Mapping[tuple[str, str], float | None]], model: str) -> bool:
    return all(_is_whole_share(values[model, "mean_label"], values[model, "example_count"]) for values in slices)


def _is_whole_share(mean: float | None, rows: float | None) -> bool:
    if mean is None or not rows or not 0 <= mean <= 1:
        return False
    return abs(mean * rows - round(mean * rows)) < 1e-3


def _slice_metrics(
    name: str, values: Mapping[tuple[str, str], float | None], candidate: str, metric: str, binary: bool
) -> SliceMetrics:
    rows = int(values[candidate, "example_count"] or 0)
    knows_every_row = values.get((evaluation_config.LOCAL, "example_count")) == rows
    return SliceMetrics(
        name=name,
        rows=rows,
        positives=round((values[candidate, "mean_label"] or 0.0) * rows) if binary else None,
        value=values.get((candidate, metric)),
        baseline=values.get((evaluation_config.BASELINE, metric)),
        local=values.get((evaluation_config.LOCAL, metric)) if knows_every_row else None,
    )


def _undefined_for_one_class(metrics: SliceMetrics) -> SliceMetrics:
    if metrics.positives not in (0, metrics.rows):
        return metrics
    return dataclasses.replace(metrics, value=None, baseline=None, local=None)


def enough(silos: Iterable[SliceMetrics], minimum_rows: int) -> Iterator[SliceMetrics]:
    """Yields the silos of which something can be said: enough rows, and a defined metric."""
    return (silo for silo in silos if silo.rows >= minimum_rows and silo.value is not None)
