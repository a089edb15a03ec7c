"""The trimmed mean of each coordinate (Yin et al., arXiv 1803.01498, definition 2)."""

from __future__ import annotations

import tensorflow as tf

from tff_runtime.aggregation import collected_updates
from tff_runtime.settings import aggregations


class TrimmedMeanFactory(collected_updates.CollectedUpdatesFactory):
    """Every silo counts the same; of n silos, floor(fraction n) are left out at either end of each coordinate."""

    def __init__(self, setting: aggregations.TrimmedMean) -> None:
        """Takes the fraction."""
        self._fraction = setting.fraction

    def aggregate(self, updates: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns the coordinate-wise mean of what is not trimmed."""
        n = tf.shape(updates)[0]
        trimmed = tf.cast(tf.floor(self._fraction * tf.cast(n, tf.float64)), tf.int32)
        return tf.reduce_mean(tf.sort(updates, axis=0)[trimmed : n - trimmed], axis=0)
