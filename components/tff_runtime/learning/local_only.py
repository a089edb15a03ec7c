"""Every silo alone: the local training of federated averaging, from each silo's own weights, never averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime.learning import local_algorithm, local_steps


class LocalOnly(local_algorithm.LocalAlgorithm):
    """Local SGD on the weights that the silo keeps; nothing is sent."""

    def __init__(self, model: functional_model.FunctionalModel, silos: int) -> None:
        """Takes the model and the number of silos."""
        super().__init__(model, silos)
        self._steps = local_steps.LocalSteps(model)

    def initial_state(self, initial_weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns the weights to start from."""
        return list(initial_weights)

    def personal_weights(
        self, trainable: local_algorithm.Tensors, state: local_algorithm.Tensors
    ) -> list[tf.Tensor] | None:
        """Returns the silos' weights."""
        return list(state)

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        passed = self._steps(task.state, message.non_trainable, task)
        return local_algorithm.Trained(
            update=[tf.zeros_like(weight) for weight in start],
            weight=tf.zeros_like(task.weight),
            shared=[],
            state=list(passed.weights),
            loss=local_algorithm.mean_loss(passed.loss, passed.rows),
            rows=passed.rows,
            before=task.state,
            after=passed.weights,
        )
