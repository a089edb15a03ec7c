"""The geometric median by the smoothed Weiszfeld algorithm (RFA: Pillutla et al., arXiv 1912.13445, algorithm 2)."""

from __future__ import annotations

import tensorflow as tf

from tff_runtime.aggregation import collected_updates
from tff_runtime.settings import aggregations


class GeometricMedianFactory(collected_updates.CollectedUpdatesFactory):
    """The point with the smallest mean distance to the updates, by the silos' weights.

    The algorithm leaves its first point open. Here it is the weighted median of each coordinate: from the mean, which
    an outlier draws away, few steps would not lead back.
    """

    def __init__(self, setting: aggregations.GeometricMedian) -> None:
        """Takes the number of steps and nu."""
        self._iterations = setting.iterations
        self._smoothing = setting.smoothing

    def aggregate(self, updates: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns the last of the algorithm's points."""
        alpha = weights / tf.reduce_sum(weights)
        point = _weighted_median(updates, alpha)
        for _ in range(self._iterations):
            distance = tf.norm(updates - point, axis=1)
            beta = alpha / tf.maximum(distance, self._smoothing)
            point = tf.linalg.matvec(updates, beta / tf.reduce_sum(beta), transpose_a=True)
        return point


def _weighted_median(updates: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Returns, of each coordinate, the smallest value at which the silos up to it have half of the weight."""
    coordinates = tf.transpose(updates)
    ascending = tf.argsort(coordinates, axis=1)
    reached = tf.cumsum(tf.gather(alpha, ascending), axis=1) >= 0.5
    silo = tf.gather(ascending, tf.argmax(reached, axis=1), batch_dims=1)
    return tf.gather(coordinates, silo, batch_dims=1)
