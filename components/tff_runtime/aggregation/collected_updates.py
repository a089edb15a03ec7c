"""Aggregations that need the updates of all silos at once: a median has no partial sums.

The server holds the updates of a whole round: the number of silos times the size of the model.
"""

from __future__ import annotations

import abc
import collections
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff


class CollectedUpdatesFactory(tff.aggregators.WeightedAggregationFactory, abc.ABC):
    """A function of all silos' updates, each one flat vector over all tensors of the model, which share one dtype.

    A silo of weight 0 takes no part: its update was not finite, and is zero here. Where no silo has a weight, the
    result is zero. The state is empty; the measurement `silos` counts those that took part.
    """

    @abc.abstractmethod
    def aggregate(self, updates: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns the update of the global model.

        Args:
            updates: The silos' updates `[n, d]`, n at least 1, in any order.
            weights: Their weights `[n]`, all above 0, of the same dtype.

        Returns:
            The aggregated update `[d]`.
        """

    def create(self, value_type: tff.Type, weight_type: tff.Type) -> tff.templates.AggregationProcess:
        """Returns the aggregation process for updates and weights of the given types."""
        return tff.aggregators.concat_factory(_VectorFactory(self.aggregate)).create(value_type, weight_type)


def collect(updates: Any, weights: Any) -> Any:
    """Brings the silos' updates to the server; called inside a `tff.federated_computation`.

    Args:
        updates: The silos' updates, tensors `[...]@CLIENTS`.
        weights: The silos' weights, scalars `@CLIENTS`.

    Returns:
        Updates `[n, ...]` and weights `[n]` of all silos, in any order but the same, as one pair `@SERVER`.
    """
    silos = tff.federated_zip((updates, weights))
    silo_type = silos.type_signature.member
    collected_type = tff.to_type([tff.TensorType(tensor.dtype, (None, *tensor.shape)) for tensor in silo_type])

    @tff.tensorflow.computation
    def nothing() -> Any:
        return [tf.zeros((0, *tensor.shape), tensor.dtype) for tensor in silo_type]

    @tff.tensorflow.computation(collected_type, silo_type)
    def add(collected: Any, silo: Any) -> Any:
        return _concatenate(collected, [tensor[tf.newaxis] for tensor in silo])

    merge = tff.tensorflow.computation(_concatenate, (collected_type, collected_type))
    report = tff.tensorflow.computation(lambda collected: collected, collected_type)
    return tff.federated_aggregate(silos, nothing(), add, merge, report)


def _concatenate(first: Any, second: Any) -> Any:
    return [tf.concat(pair, axis=0) for pair in zip(first, second, strict=True)]


class _VectorFactory(tff.aggregators.WeightedAggregationFactory):
    def __init__(self, aggregate: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> None:
        self._aggregate = aggregate

    def create(self, value_type: tff.TensorType, weight_type: tff.TensorType) -> tff.templates.AggregationProcess:
        @tff.tensorflow.computation
        def aggregate(updates: Any, weights: Any) -> Any:
            participates = weights > 0
            updates, weights = (tf.boolean_mask(tensor, participates) for tensor in (updates, weights))
            silos = tf.shape(weights)[0]
            result = tf.cond(
                silos > 0,
                lambda: self._aggregate(updates, tf.cast(weights, updates.dtype)),
                lambda: tf.zeros(value_type.shape, value_type.dtype),
            )
            return tf.ensure_shape(result, value_type.shape), collections.OrderedDict(silos=silos)

        @tff.federated_computation
        def initialize() -> Any:
            return tff.federated_value((), tff.SERVER)

        @tff.federated_computation(
            initialize.type_signature.result,
            tff.FederatedType(value_type, tff.CLIENTS),
            tff.FederatedType(weight_type, tff.CLIENTS),
        )
        def next_fn(state: Any, updates: Any, weights: Any) -> Any:
            result, measurements = tff.federated_map(aggregate, collect(updates, weights))
            return tff.templates.MeasuredProcessOutput(state, result, measurements)

        return tff.templates.AggregationProcess(initialize, next_fn)
