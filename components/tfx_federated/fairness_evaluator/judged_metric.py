"""The judged metric of each silo: its confidence interval, and the gain over other models on the same rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from tensorflow_model_analysis.metrics import confusion_matrix_metrics, metric_types

from tfx_federated.fairness_evaluator import cell_metrics, cells, row_losses
from tfx_federated.statistics import arrays, bootstrap, dispersion, intervals, paired

# For metrics without a formula of their variance. The standard error of a standard error from so many is 7 %.
_REPLICATES = 100

_UNIT = dispersion.Scale()

Counts = tuple[arrays.Vector, arrays.Vector]


@dataclass(frozen=True)
class PairedCells:
    """The cells of silos by the buckets of the candidate and of another model.

    Attributes:
        candidate: The cells by the candidate's bucket. Losses are those of the other model less the candidate's.
        other: The same cells by the other model's bucket.
    """

    candidate: cell_metrics.SliceCells
    other: cell_metrics.SliceCells


class Judge(Protocol):
    """How sure a metric is."""

    @property
    def scale(self) -> dispersion.Scale:
        """What its values mean."""

    @property
    def needs_both_classes(self) -> bool:
        """Whether it compares positive with negative rows, so that rows of one class leave it undefined."""

    def silos(self, own: cell_metrics.SliceCells) -> bootstrap.Silos:
        """Returns what the metric can be drawn from again, [groups]."""

    def intervals(self, own: cell_metrics.SliceCells, confidence: float) -> intervals.Intervals:
        """Returns confidence intervals, [groups]."""

    def gains(self, pairs: PairedCells) -> paired.Gains:
        """Returns the candidate's gains over the other model, [groups]."""


def of_metric(metric: cell_metrics.CellMetric, name: str) -> Judge:
    """Returns the judge of a metric.

    Args:
        metric: The metric.
        name: Name of the one of its values that is judged.
    """
    tfma_metric = metric.metric
    if cell_metrics.is_roc_area(tfma_metric):
        return _Area(np.array(metric.edges))
    for kind, counts in _RATES.items():
        if isinstance(tfma_metric, kind):
            return _Rate(metric.edges[0], kind, counts, name, metric.read)
    if loss := row_losses.of_metric(tfma_metric):
        return _Loss(loss.name)
    return _Resampled(name, metric.read, _scale(tfma_metric))


@dataclass(frozen=True)
class _Area:
    thresholds: arrays.Vector
    scale: dispersion.Scale = _UNIT
    needs_both_classes: bool = True

    def silos(self, own: cell_metrics.SliceCells) -> bootstrap.Silos:
        return bootstrap.Areas(cell_metrics.area(own, self.thresholds))

    def intervals(self, own: cell_metrics.SliceCells, confidence: float) -> intervals.Intervals:
        return intervals.of_areas(cell_metrics.area(own, self.thresholds), confidence)

    def gains(self, pairs: PairedCells) -> paired.Gains:
        own = pairs.candidate
        return paired.of_areas(
            own.group,
            own.bucket_between(self.thresholds),
            pairs.other.bucket_between(self.thresholds),
            own.sums["label"],
            own.sums["negative"],
            own.groups,
            own.sums["label_squares"],
            own.sums["negative_squares"],
        )


@dataclass(frozen=True)
class _Rate:
    threshold: float
    kind: type
    counts: Callable[..., Counts]
    name: str
    read: cell_metrics.Read
    needs_both_classes: bool = False

    @property
    def scale(self) -> dispersion.Scale:
        return dispersion.Scale(higher_is_better=self.kind not in _LOWER_IS_BETTER)

    def silos(self, own: cell_metrics.SliceCells) -> bootstrap.Silos:
        successes, trials, squares = self._counts(own)
        return bootstrap.Rates(successes, trials, squares)

    def intervals(self, own: cell_metrics.SliceCells, confidence: float) -> intervals.Intervals:
        successes, trials, squares = self._counts(own)
        return intervals.of_rates(successes, trials, confidence, squares)

    def gains(self, pairs: PairedCells) -> paired.Gains:
        if self.kind is not confusion_matrix_metrics.BinaryAccuracy:
            return _resampled_gains(self.name, self.read, self.scale, pairs)
        own = pairs.candidate
        ours, theirs = own.above(self.threshold), pairs.other.above(self.threshold)
        rises, falls = ours & ~theirs, theirs & ~ours
        return paired.of_accuracies(
            own.total("weight"),
            own.total("label", rises) + own.total("negative", falls),
            own.total("label", falls) + own.total("negative", rises),
            own.total("weight_squares"),
        )

    def _counts(self, own: cell_metrics.SliceCells) -> tuple[arrays.Vector, arrays.Vector, arrays.Vector]:
        successes, trials = self.counts(*own.confusion(self.threshold))
        # Weights are taken to be as unequal among the trials as among all rows.
        weight = own.total("weight")
        share = np.divide(trials, weight, out=np.zeros(own.groups), where=weight > 0)
        return successes, trials, own.total("weight_squares") * share


@dataclass(frozen=True)
class _Loss:
    name: str
    scale: dispersion.Scale = dispersion.LOSS
    needs_both_classes: bool = False

    def silos(self, own: cell_metrics.SliceCells) -> bootstrap.Silos:
        moments = intervals.Moments.of_sums(*self._sums(own))
        return bootstrap.Means(moments.mean, moments.standard_error)

    def intervals(self, own: cell_metrics.SliceCells, confidence: float) -> intervals.Intervals:
        weight, total, squares, weight_squares = self._sums(own)
        return intervals.of_means(weight, total, squares, confidence, weight_squares)

    def gains(self, pairs: PairedCells) -> paired.Gains:
        return paired.of_losses(*self._sums(pairs.candidate))

    def _sums(self, own: cell_metrics.SliceCells) -> tuple[arrays.Vector, ...]:
        total, weight, squares = (own.total(name) for name in cells.loss_columns(self.name))
        return weight, total, squares, own.total("weight_squares")


@dataclass(frozen=True)
class _Resampled:
    name: str
    read: cell_metrics.Read
    scale: dispersion.Scale
    needs_both_classes: bool = False

    def silos(self, own: cell_metrics.SliceCells) -> bootstrap.Silos:
        return bootstrap.Means(self.read(own)[self.name], self._replicates(own).std(axis=0, ddof=1))

    def intervals(self, own: cell_metrics.SliceCells, confidence: float) -> intervals.Intervals:
        reach = intervals.normal_quantile(confidence) * self._replicates(own).std(axis=0, ddof=1)
        value = self.read(own)[self.name]
        lower = np.maximum(value - reach, self.scale.lower)
        upper = np.minimum(value + reach, self.scale.upper)
        return intervals.of_bounds(value, lower, upper, confidence)

    def gains(self, pairs: PairedCells) -> paired.Gains:
        return _resampled_gains(self.name, self.read, self.scale, pairs)

    def _replicates(self, own: cell_metrics.SliceCells) -> np.ndarray:
        generator = np.random.default_rng(0)
        return np.stack([self.read(_drawn(own, generator))[self.name] for _ in range(_REPLICATES)])


def _resampled_gains(name: str, read: cell_metrics.Read, scale: dispersion.Scale, pairs: PairedCells) -> paired.Gains:
    sign = 1 if scale.higher_is_better else -1
    generator = np.random.default_rng(0)
    replicates = []
    for _ in range(_REPLICATES):
        drawn = _drawn(pairs.candidate, generator)
        other = dataclasses.replace(drawn, bucket=pairs.other.bucket)
        replicates.append(read(drawn)[name] - read(other)[name])
    gain = sign * (read(pairs.candidate)[name] - read(pairs.other)[name])
    return paired.of_standard_errors(gain, np.std(replicates, axis=0, ddof=1))


def _drawn(own: cell_metrics.SliceCells, generator: np.random.Generator) -> cell_metrics.SliceCells:
    """Draws the rows of each class in each cell again, a Poisson number of them.

    Source: Poisson bootstrap, Chamandy et al., Estimating Uncertainty for Massive Data Streams, Google (2012), Section
    3, which TFMA uses row by row; for rows that are alike its sum is a Poisson number of them. Weighted rows are taken
    as their effective number (Kish) of rows of one weight.
    """
    drawn = {}
    for name in ("label", "negative"):
        total, squares = own.sums[name], own.sums[f"{name}_squares"]
        effective = np.divide(total**2, squares, out=np.zeros(len(total)), where=squares > 0)
        each = np.divide(squares, total, out=np.zeros(len(total)), where=total > 0)
        drawn[name] = generator.poisson(effective) * each
    weight = drawn["label"] + drawn["negative"]
    factor = np.divide(weight, own.sums["weight"], out=np.zeros(len(weight)), where=own.sums["weight"] > 0)
    return dataclasses.replace(own, sums={name: values * factor for name, values in own.sums.items()} | drawn)


def _scale(metric: metric_types.Metric) -> dispersion.Scale:
    if isinstance(metric, confusion_matrix_metrics.ConfusionMatrixMetricBase) and not isinstance(metric, _UNBOUNDED):
        return dispersion.Scale()
    return dispersion.Scale(-np.inf, np.inf)


_RATES: Mapping[type, Callable[..., Counts]] = {
    confusion_matrix_metrics.BinaryAccuracy: lambda tp, tn, fp, fn: (tp + tn, tp + tn + fp + fn),
    confusion_matrix_metrics.Precision: lambda tp, tn, fp, fn: (tp, tp + fp),
    confusion_matrix_metrics.Recall: lambda tp, tn, fp, fn: (tp, tp + fn),
    confusion_matrix_metrics.Specificity: lambda tp, tn, fp, fn: (tn, tn + fp),
    confusion_matrix_metrics.NegativePredictiveValue: lambda tp, tn, fp, fn: (tn, tn + fn),
    confusion_matrix_metrics.PredictedPositiveRate: lambda tp, tn, fp, fn: (tp + fp, tp + tn + fp + fn),
    confusion_matrix_metrics.FallOut: lambda tp, tn, fp, fn: (fp, fp + tn),
    confusion_matrix_metrics.MissRate: lambda tp, tn, fp, fn: (fn, fn + tp),
    confusion_matrix_metrics.FalseDiscoveryRate: lambda tp, tn, fp, fn: (fp, fp + tp),
    confusion_matrix_metrics.FalseOmissionRate: lambda tp, tn, fp, fn: (fn, fn + tn),
}
_LOWER_IS_BETTER = {
    confusion_matrix_metrics.FallOut,
    confusion_matrix_metrics.MissRate,
    confusion_matrix_metrics.FalseDiscoveryRate,
    confusion_matrix_metrics.FalseOmissionRate,
}
_UNBOUNDED = (
    confusion_matrix_metrics.TruePositives,
    confusion_matrix_metrics.TrueNegatives,
    confusion_matrix_metrics.FalsePositives,
    confusion_matrix_metrics.FalseNegatives,
    confusion_matrix_metrics.MatthewsCorrelationCoefficient,
    confusion_matrix_metrics.Informedness,
    confusion_matrix_metrics.Markedness,
    confusion_matrix_metrics.PositiveLikelihoodRatio,
    confusion_matrix_metrics.NegativeLikelihoodRatio,
    confusion_matrix_metrics.DiagnosticOddsRatio,
)
