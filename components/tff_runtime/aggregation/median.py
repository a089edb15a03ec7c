"""The median of each coordinate (Yin et al., arXiv 1803.01498, definition 1)."""

from __future__ import annotations

import tensorflow as tf

from tff_runtime.aggregation import collected_updates


class MedianFactory(collected_updates.CollectedUpdatesFactory):
    """Every silo counts the same; of an even number of silos, the two in the middle are averaged."""

    def aggregate(self, updates: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns the coordinate-wise median."""
        n = tf.shape(updates)[0]
        ascending = tf.sort(updates, axis=0)
        return (ascending[(n - 1) // 2] + ascending[n // 2]) / 2
