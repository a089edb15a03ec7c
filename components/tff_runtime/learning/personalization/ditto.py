"""Ditto (Li et al., arXiv 2012.04221, algorithm 1).

The global model is trained by another algorithm. Beside it each silo k trains its own v_k over the same batches, for
F_k(v) + lambda / 2 |v - w|^2, where w are the global weights of the round.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tff_runtime.learning import local_algorithm, local_steps
from tff_runtime.learning.algorithms import fedprox
from tff_runtime.settings import personalizations as settings


class Ditto(local_algorithm.Around):
    """Another algorithm, and a model of its own for each silo."""

    def __init__(self, inner: local_algorithm.LocalAlgorithm, setting: settings.Ditto) -> None:
        """Takes the algorithm of the global model and lambda."""
        super().__init__(inner)
        self._steps = local_steps.LocalSteps(inner.model, fedprox.proximal_correction(setting.strength))

    def initial_state(self, initial_weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns v_k, then the inner algorithm's."""
        return [*initial_weights, *self._inner.initial_state(initial_weights)]

    def personal_weights(
        self, trainable: local_algorithm.Tensors, state: local_algorithm.Tensors
    ) -> list[tf.Tensor] | None:
        """Returns v_k."""
        return list(state[: len(trainable)])

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        own, inner_state = task.state[: len(start)], task.state[len(start) :]
        trained = self._inner.train(message, start, task._replace(state=inner_state))
        passed = self._steps(own, message.non_trainable, task, list(start))
        return trained._replace(state=[*passed.weights, *trained.state])
