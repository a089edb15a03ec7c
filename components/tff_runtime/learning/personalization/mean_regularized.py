"""MR-MTL, mean-regularised multi-task learning (Liu et al., arXiv 2206.07902, algorithm A1).

Each silo k keeps its own w_k and trains it for F_k(w_k) + lambda / 2 |w_k - mean|^2, where the mean is over the silos
after the round before. The mean is the global model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tff_runtime.learning import local_algorithm, local_steps
from tff_runtime.learning.algorithms import fedprox
from tff_runtime.settings import personalizations as settings


class MeanRegularized(local_algorithm.LocalAlgorithm):
    """A model of its own for each silo; nothing else is trained."""

    def __init__(self, inner: local_algorithm.LocalAlgorithm, setting: settings.MeanRegularized) -> None:
        """Takes lambda; of the inner algorithm, which must be federated averaging, only the model is used."""
        super().__init__(inner.model, inner.silos)
        self._steps = local_steps.LocalSteps(inner.model, fedprox.proximal_correction(setting.strength))

    def initial_state(self, initial_weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns w_k."""
        return list(initial_weights)

    def personal_weights(
        self, trainable: local_algorithm.Tensors, state: local_algorithm.Tensors
    ) -> list[tf.Tensor] | None:
        """Returns w_k."""
        return list(state)

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`. The mean of `start - w_k` is what leads from the old mean to the new one."""
        passed = self._steps(task.state, message.non_trainable, task, list(start))
        return local_algorithm.Trained(
            update=local_algorithm.differences(start, passed.weights),
            weight=task.weight,
            shared=[],
            state=list(passed.weights),
            loss=local_algorithm.mean_loss(passed.loss, passed.rows),
            rows=passed.rows,
            before=task.state,
            after=passed.weights,
        )
