"""The client optimizer of FedProx (Li et al., arXiv 1812.06127, equation 2).

A silo minimises F_k(v) + mu / 2 |v - w|^2, where w are the global weights that it started from: each gradient g of F_k
becomes g + mu (v - w). `tff.learning.algorithms.build_weighted_fed_prox` of TFF 0.87 adds mu (w - v), which drives the
silos away from the global model; this takes its place.
"""

from __future__ import annotations

import collections
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff


class ProximalOptimizer(tff.learning.optimizers.Optimizer):
    """Another optimizer, of the loss with the proximal term added. The weights of the first step are w."""

    def __init__(self, optimizer: tff.learning.optimizers.Optimizer, strength: float) -> None:
        """Takes the optimizer and mu, positive."""
        self._optimizer = optimizer
        self._strength = strength

    def initialize(self, specs: Any) -> Any:
        """Returns the state before the first step."""
        return collections.OrderedDict(
            optimizer=self._optimizer.initialize(specs),
            started=tf.constant(False),
            origin=tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs),
        )

    def next(self, state: Any, weights: Any, gradients: Any) -> Any:
        """Returns state and weights after a step."""
        origin = tf.nest.map_structure(
            lambda kept, now: tf.where(state["started"], kept, now), state["origin"], weights
        )
        regularised = tf.nest.map_structure(self._regularised, gradients, weights, origin)
        inner, updated = self._optimizer.next(state["optimizer"], weights, regularised)
        return collections.OrderedDict(optimizer=inner, started=tf.constant(True), origin=origin), updated

    def _regularised(self, gradient: Any, weight: Any, origin: Any) -> Any:
        # A weight that the loss does not depend on never leaves its origin.
        return None if gradient is None else tf.convert_to_tensor(gradient) + self._strength * (weight - origin)
