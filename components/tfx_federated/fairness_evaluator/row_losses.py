"""Metrics that are means of one number per row, as TFMA defines them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tensorflow_model_analysis.metrics import cross_entropy_metrics, mean_regression_error, metric_types

from tfx_federated.statistics import arrays


@dataclass(frozen=True)
class RowLoss:
    """A metric that is the mean over rows of a loss.

    Attributes:
        name: Name of the metric.
        function: Losses of rows from their labels and predictions, [rows] each; a row with NaN does not count.
    """

    name: str
    function: Callable[[arrays.Vector, arrays.Vector], arrays.Vector]


def of_metric(metric: metric_types.Metric) -> RowLoss | None:
    """Returns the loss of a TFMA metric, or None if it is no mean of losses of this module."""
    if isinstance(metric, cross_entropy_metrics.BinaryCrossEntropy):
        plain = not metric.kwargs.get("from_logits") and not metric.kwargs.get("label_smoothing")
        return RowLoss(metric.name, _binary_cross_entropy) if plain else None
    function = _FUNCTIONS.get(type(metric))
    return RowLoss(metric.name, function) if function else None


def _binary_cross_entropy(labels: arrays.Vector, predictions: arrays.Vector) -> arrays.Vector:
    with np.errstate(divide="ignore", invalid="ignore"):
        return -labels * np.log(predictions) - (1 - labels) * np.log(1 - predictions)


def _absolute_error(labels: arrays.Vector, predictions: arrays.Vector) -> arrays.Vector:
    return np.abs(labels - predictions)


def _squared_error(labels: arrays.Vector, predictions: arrays.Vector) -> arrays.Vector:
    return (labels - predictions) ** 2


def _absolute_percentage_error(labels: arrays.Vector, predictions: arrays.Vector) -> arrays.Vector:
    return 100 * np.abs(np.divide(labels - predictions, labels, out=np.full(len(labels), np.nan), where=labels != 0))


def _squared_logarithmic_error(labels: arrays.Vector, predictions: arrays.Vector) -> arrays.Vector:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.log(labels + 1) - np.log(predictions + 1)) ** 2


_FUNCTIONS = {
    mean_regression_error.MeanAbsoluteError: _absolute_error,
    mean_regression_error.MeanSquaredError: _squared_error,
    mean_regression_error.MeanAbsolutePercentageError: _absolute_percentage_error,
    mean_regression_error.MeanSquaredLogarithmicError: _squared_logarithmic_error,
}
