"""The aggregator that a setting stands for."""

from __future__ import annotations

from typing import Any

import tensorflow_federated as tff

from tff_runtime.aggregation import geometric_median, median, multi_krum, trimmed_mean
from tff_runtime.settings import aggregations


def build(setting: Any) -> tff.aggregators.WeightedAggregationFactory:
    """Returns the factory of a setting.

    Args:
        setting: One of `aggregations.ALTERNATIVES`.

    Returns:
        The factory. The result is a zero update where no silo has a weight above 0.

    Raises:
        TypeError: The setting is none of the alternatives.
    """
    match setting:
        case aggregations.Mean():
            return tff.aggregators.MeanFactory(no_nan_division=True)
        case aggregations.Median():
            return median.MedianFactory()
        case aggregations.TrimmedMean():
            return trimmed_mean.TrimmedMeanFactory(setting)
        case aggregations.GeometricMedian():
            return geometric_median.GeometricMedianFactory(setting)
        case aggregations.MultiKrum():
            return multi_krum.MultiKrumFactory(setting)
        case aggregations.Clipping():
            return tff.aggregators.clipping_factory(_clipping_norm(setting), build(setting.inner))
        case aggregations.Zeroing():
            return tff.aggregators.zeroing_factory(_zeroing_threshold(setting), build(setting.inner))
    names = ", ".join(alternative.__name__ for alternative in aggregations.ALTERNATIVES)
    raise TypeError(f"aggregation is {setting!r}; it must be one of {names}")


def _clipping_norm(setting: aggregations.Clipping) -> float | tff.templates.EstimationProcess:
    if setting.learning_rate == 0:
        return float(setting.initial_norm)
    return tff.aggregators.PrivateQuantileEstimationProcess.no_noise(
        initial_estimate=float(setting.initial_norm),
        target_quantile=float(setting.quantile),
        learning_rate=float(setting.learning_rate),
    )


def _zeroing_threshold(setting: aggregations.Zeroing) -> tff.templates.EstimationProcess:
    return tff.aggregators.PrivateQuantileEstimationProcess.no_noise(
        initial_estimate=float(setting.initial_threshold),
        target_quantile=float(setting.quantile),
        learning_rate=float(setting.learning_rate),
        multiplier=float(setting.multiplier),
    )
