"""TFMA's metrics, read from cells.

The formulas stay TFMA's wherever they are functions of one confusion matrix, or of all of them: those are called with
the matrices of each slice. Counts, means and the area under the ROC curve are computed for all slices at once.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow_model_analysis.api import types as tfma_types
from tensorflow_model_analysis.metrics import (
    binary_confusion_matrices,
    calibration,
    confusion_matrix_metrics,
    example_count,
    metric_specs,
    metric_types,
    weighted_example_count,
)
from tensorflow_model_analysis.proto import config_pb2

from tfx_federated.fairness_evaluator import cells, row_losses
from tfx_federated.statistics import arrays, delong

# TFMA's: a metric over all thresholds reads them from a histogram of so many buckets, a margin above each threshold.
_DEFAULT_THRESHOLDS = 10000
_BUCKETS = 10000
_MARGIN = 1e-7


@dataclass(frozen=True)
class SliceCells:
    """The cells of one model and weighting.

    Attributes:
        group: Number of each cell's slice, [cells].
        groups: Number of slices.
        bucket: Bucket of each cell, [cells].
        sums: Summed columns by name, [cells] each.
        edges: Scores between the buckets.
    """

    group: arrays.IntVector
    groups: int
    bucket: arrays.IntVector
    sums: Mapping[str, arrays.Vector]
    edges: arrays.Vector

    def total(self, name: str, chosen: arrays.Mask | None = None) -> arrays.Vector:
        """Returns the sum of a column per slice, [groups], over all cells or the chosen ones, [cells]."""
        if chosen is None:
            return _sums_of_groups(self.group, self.sums[name], self.groups)
        return _sums_of_groups(self.group[chosen], self.sums[name][chosen], self.groups)

    def above(self, threshold: float) -> arrays.Mask:
        """Returns whether a cell's scores are above a threshold, [cells]; the threshold must be an edge."""
        return self.bucket > np.searchsorted(self.edges, threshold)

    def confusion(self, threshold: float) -> tuple[arrays.Vector, arrays.Vector, arrays.Vector, arrays.Vector]:
        """Returns true positives, true negatives, false positives and false negatives per slice, [groups] each."""
        above = self.above(threshold)
        return (
            self.total("label", above),
            self.total("negative", ~above),
            self.total("negative", above),
            self.total("label", ~above),
        )

    def bucket_between(self, thresholds: arrays.Vector) -> arrays.IntVector:
        """Returns the number of thresholds below each cell's scores, [cells]; each must be an edge."""
        return np.searchsorted(np.searchsorted(self.edges, thresholds), self.bucket)


Read = Callable[[SliceCells], Mapping[str, arrays.Vector]]


@dataclass(frozen=True)
class CellMetric:
    """A TFMA metric that can be read from cells.

    Attributes:
        metric: The metric.
        keys: Its keys without diffs, one for each model and weighting that it is computed for.
        names: Names of its values: the metric's own, or those that it gives to several.
        edges: Scores that must be edges of the buckets.
        read: Values by name of the key, [groups] each, from the cells of a key's model and weighting: numbers, or
            objects that are TFMA's structured values.
    """

    metric: metric_types.Metric
    keys: tuple[metric_types.MetricKey, ...]
    names: tuple[str, ...]
    edges: tuple[float, ...]
    read: Read


def of_config(eval_config: config_pb2.EvalConfig) -> tuple[list[CellMetric], list[str]]:
    """Returns the metrics that can be read from cells, and the names of the others.

    Args:
        eval_config: Completed configuration.
    """
    found: list[CellMetric] = []
    others = []
    for spec in eval_config.metrics_specs:
        by_metric: dict[str, tuple[metric_types.Metric, list[metric_types.MetricKey]]] = {}
        for key, config, metric in metric_specs.keys_and_metrics_from_specs(eval_config, [spec]):
            by_metric.setdefault(config.SerializeToString(), (metric, []))[1].append(key)
        is_plain = not spec.query_key and not spec.output_names and not spec.output_weights
        for metric, keys in by_metric.values():
            has_plain_keys = all(key.sub_key is None and key.aggregation_type is None for key in keys)
            reader = _reader(metric) if is_plain and has_plain_keys else None
            if reader is None:
                others.append(metric.name)
            else:
                found.append(CellMetric(metric, tuple(keys), *reader))
    return found, sorted(set(others))


def layout(metrics: Sequence[CellMetric], thresholds: Sequence[float] = ()) -> cells.Layout:
    """Returns what the cells must keep for the metrics and for further thresholds."""
    edges = sorted({*thresholds, *(threshold for metric in metrics for threshold in metric.edges)})
    weightings = sorted({bool(key.example_weighted) for metric in metrics for key in metric.keys})
    losses = {loss.name: loss for loss in (row_losses.of_metric(metric.metric) for metric in metrics) if loss}
    return cells.Layout(np.array(edges), tuple(weightings), tuple(losses.values()))


def area(slice_cells: SliceCells, thresholds: arrays.Vector) -> delong.Areas:
    """Returns the area under the ROC curve through some thresholds per slice, with its variance."""
    return delong.areas(
        slice_cells.group,
        slice_cells.bucket_between(thresholds),
        slice_cells.sums["label"],
        slice_cells.sums["negative"],
        slice_cells.groups,
    )


def edges_of(metric: metric_types.Metric) -> tuple[float, ...]:
    """Returns the scores above which TFMA takes a row for positive, at each threshold of a metric, ascending."""
    thresholds = _thresholds_of(metric)
    if metric.kwargs.get("thresholds") is not None or len(thresholds) == 1:
        return thresholds
    # TFMA counts rows whose bucket begins at or above a threshold and a margin; all for the first, 1.0 for the last.
    begins = np.ceil((np.array(thresholds[1:-1]) + _MARGIN) * _BUCKETS) / _BUCKETS
    return (-np.inf, *np.nextafter(begins, -np.inf).tolist(), float(np.nextafter(1.0, -np.inf)))


def is_roc_area(metric: metric_types.Metric) -> bool:
    """Returns whether a metric is the area under the ROC curve by trapezoids."""
    return (
        isinstance(metric, confusion_matrix_metrics.AUC)
        and metric.kwargs.get("curve", "PR").upper() == "ROC"
        and metric.kwargs["summation_method"].lower() == "interpolation"
    )


def _thresholds_of(metric: metric_types.Metric) -> tuple[float, ...]:
    thresholds = metric.kwargs.get("thresholds")
    number = metric.kwargs.get("num_thresholds")
    if thresholds is None and number is None and isinstance(metric, confusion_matrix_metrics.ConfusionMatrixMetric):
        thresholds = metric._default_threshold()
    if thresholds is None:
        return _interpolated(number or _DEFAULT_THRESHOLDS)
    return (thresholds,) if isinstance(thresholds, float) else tuple(thresholds)


def _interpolated(number: int) -> tuple[float, ...]:
    inner = [(place + 1) * 1.0 / (number - 1) for place in range(number - 2)]
    return (-_MARGIN, *inner, 1.0 + _MARGIN)


def _reader(metric: metric_types.Metric) -> tuple[tuple[str, ...], tuple[float, ...], Read] | None:
    names = (metric.name,)
    read = _SUM_READERS.get(type(metric))
    if read:
        return names, (), functools.partial(_named, metric.name, read)
    if loss := row_losses.of_metric(metric):
        return names, (), functools.partial(_named, metric.name, functools.partial(_mean_loss, loss.name))
    if is_roc_area(metric):
        edges = edges_of(metric)
        return names, edges, functools.partial(_named, metric.name, functools.partial(_area, np.array(edges)))
    if isinstance(metric, confusion_matrix_metrics.ConfusionMatrixMetric) and len(_thresholds_of(metric)) == 1:
        (threshold,) = _thresholds_of(metric)
        return names, (threshold,), functools.partial(_named, metric.name, functools.partial(_rate, metric, threshold))
    if isinstance(metric, _OF_MATRICES) or _is_fairness_indicators(metric):
        return _reader_of_matrices(metric)
    return None


def _is_fairness_indicators(metric: metric_types.Metric) -> bool:
    # By name, so that the package is needed by those only who ask for its metric.
    return type(metric).__name__ == "FairnessIndicators"


def _reader_of_matrices(metric: metric_types.Metric) -> tuple[tuple[str, ...], tuple[float, ...], Read] | None:
    thresholds, edges = _thresholds_of(metric), edges_of(metric)
    if min(thresholds) < -_MARGIN:
        return None
    derived = metric.computations(model_names=[""], output_names=[""], sub_keys=[None])[-1]
    if not isinstance(derived, metric_types.DerivedMetricComputation):
        return None
    example = [1.0] * len(thresholds)
    values = derived.result(_OneValue(binary_confusion_matrices.Matrices(list(thresholds), *[example] * 4)))
    if not all(
        isinstance(value, float | int | np.number | tfma_types.StructuredMetricValue) for value in values.values()
    ):
        return None
    names = tuple(key.name for key in derived.keys)
    return names, edges, functools.partial(_of_matrices, derived, thresholds, edges)


class _OneValue(dict):
    """Metrics that have one value, whatever the key: the private key of the matrices is TFMA's affair."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: metric_types.MetricKey) -> Any:
        return self._value


def _named(
    name: str, read: Callable[[SliceCells], arrays.Vector], slice_cells: SliceCells
) -> Mapping[str, arrays.Vector]:
    return {name: read(slice_cells)}


def _ratio(numerator: arrays.Vector, denominator: arrays.Vector) -> arrays.Vector:
    defined = ~np.isclose(denominator, 0.0)
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=defined)


def _mean_loss(name: str, slice_cells: SliceCells) -> arrays.Vector:
    total, weight, _ = cells.loss_columns(name)
    return _ratio(slice_cells.total(total), slice_cells.total(weight))


def _area(thresholds: arrays.Vector, slice_cells: SliceCells) -> arrays.Vector:
    # TFMA's area is 0 where rows are all of one class.
    return np.nan_to_num(area(slice_cells, thresholds).value, nan=0.0)


def _rate(
    metric: confusion_matrix_metrics.ConfusionMatrixMetric, threshold: float, slice_cells: SliceCells
) -> arrays.Vector:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.frompyfunc(metric.result, 4, 1)(*slice_cells.confusion(threshold)).astype(np.float64)


def _of_matrices(
    derived: metric_types.DerivedMetricComputation,
    thresholds: tuple[float, ...],
    edges: tuple[float, ...],
    slice_cells: SliceCells,
) -> Mapping[str, arrays.Vector]:
    values = {key.name: np.empty(slice_cells.groups, object) for key in derived.keys}
    with np.errstate(divide="ignore", invalid="ignore"):
        for group, matrices in enumerate(_matrices(slice_cells, thresholds, edges)):
            for key, value in derived.result(_OneValue(matrices)).items():
                values[key.name][group] = value
    return {name: column if _is_structured(column) else column.astype(np.float64) for name, column in values.items()}


def _is_structured(column: np.ndarray) -> bool:
    return len(column) > 0 and isinstance(column[0], tfma_types.StructuredMetricValue)


def _matrices(
    slice_cells: SliceCells, thresholds: Sequence[float], edges: Sequence[float]
) -> Iterator[binary_confusion_matrices.Matrices]:
    """Yields the matrices of each slice at the thresholds, whose edges these are."""
    ascending, place = np.unique(edges, return_inverse=True)
    bucket = slice_cells.bucket_between(ascending)
    order = np.argsort(slice_cells.group, kind="stable")
    bounds = np.searchsorted(slice_cells.group[order], np.arange(slice_cells.groups + 1))
    for first, end in itertools.pairwise(bounds):
        chosen = order[first:end]
        positive, negative = (
            _sums_of_groups(bucket[chosen], slice_cells.sums[name][chosen], len(ascending) + 1)
            for name in ("label", "negative")
        )
        yield binary_confusion_matrices.Matrices(
            thresholds=list(thresholds),
            tp=_sums_behind(positive)[place],
            tn=np.cumsum(negative)[:-1][place],
            fp=_sums_behind(negative)[place],
            fn=np.cumsum(positive)[:-1][place],
        )


def _sums_of_groups(group: arrays.IntVector, values: arrays.Vector, groups: int) -> arrays.Vector:
    return np.bincount(group, values, groups).astype(np.float64)


def _sums_behind(values: arrays.Vector) -> arrays.Vector:
    return np.cumsum(values[::-1])[::-1][1:]


_OF_MATRICES = (
    confusion_matrix_metrics.ConfusionMatrixMetricBase,
    confusion_matrix_metrics.ConfusionMatrixAtThresholds,
)
_SUM_READERS: Mapping[type, Callable[[SliceCells], arrays.Vector]] = {
    example_count.ExampleCount: lambda slice_cells: slice_cells.total("weight"),
    weighted_example_count.WeightedExampleCount: lambda slice_cells: slice_cells.total("weight"),
    calibration.MeanLabel: lambda slice_cells: _ratio(slice_cells.total("label"), slice_cells.total("weight")),
    calibration.MeanPrediction: lambda slice_cells: _ratio(
        slice_cells.total("prediction"), slice_cells.total("weight")
    ),
    calibration.Calibration: lambda slice_cells: _ratio(slice_cells.total("prediction"), slice_cells.total("label")),
}
