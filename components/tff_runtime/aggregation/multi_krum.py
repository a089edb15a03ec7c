"""Multi-Krum: the mean of the updates nearest to their neighbours (Blanchard et al., NeurIPS 2017, section 4)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tff_runtime.aggregation import collected_updates
from tff_runtime.aggregation.minimum_silos import minimum_silos
from tff_runtime.settings import aggregations


class MultiKrumFactory(collected_updates.CollectedUpdatesFactory):
    """Every silo counts the same. A round with fewer silos than `minimum_silos` fails with an error that says so."""

    def __init__(self, setting: aggregations.MultiKrum) -> None:
        """Takes f and m."""
        self._byzantine = setting.byzantine
        self._selected = setting.selected
        self._minimum = minimum_silos(setting)

    def aggregate(self, updates: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns the mean of the m updates with the lowest scores."""
        n = tf.shape(updates)[0]
        enough = tf.debugging.Assert(n >= self._minimum, [self._requirement(), n])
        with tf.control_dependencies([enough]):
            neighbours = n - self._byzantine - 2
        nearest = tf.sort(_squared_distances(updates), axis=1)[:, 1 : neighbours + 1]
        score = tf.reduce_sum(nearest, axis=1)
        selected = n - self._byzantine if self._selected is None else self._selected
        return tf.reduce_mean(tf.gather(updates, tf.argsort(score, stable=True)[:selected]), axis=0)

    def _requirement(self) -> str:
        return (
            f"MultiKrum with byzantine = {self._byzantine} needs at least {self._minimum} silos with a finite update "
            "in a round; take a smaller byzantine or a larger cohort. The silos of this round:"
        )


def _squared_distances(updates: tf.Tensor) -> tf.Tensor:
    """Returns the squared distances `[n, n]` between updates `[n, d]`, and minus infinity from each to itself."""
    # In float32 the difference of two near updates would drown in the rounding of their squares.
    updates = tf.cast(updates, tf.float64)
    squares = tf.reduce_sum(updates**2, axis=1)
    distances = squares[:, tf.newaxis] - 2 * tf.matmul(updates, updates, transpose_b=True) + squares
    return tf.linalg.set_diag(distances, tf.fill(tf.shape(squares), -tf.constant(np.inf, tf.float64)))
