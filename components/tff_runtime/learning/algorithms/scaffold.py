"""SCAFFOLD (Karimireddy et al., arXiv 1910.06378, algorithm 1, option II).

The server has a control variate c, each silo its own c_k. Silo k steps along g - c_k + c, and after its K steps of rate
eta from x to y takes c_k+ = c_k - c + (x - y) / (K eta). The server adds the mean change over all N silos to c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime.learning import batch_loop, local_algorithm, local_steps
from tff_runtime.settings import algorithms as settings


class Scaffold(local_algorithm.LocalAlgorithm):
    """Local SGD with control variates."""

    def __init__(self, model: functional_model.FunctionalModel, setting: settings.Scaffold, silos: int) -> None:
        """Takes the model; the setting has no parameters."""
        super().__init__(model, silos)
        self._steps = local_steps.LocalSteps(model, _towards_the_mean)

    def initial_shared(self) -> list[np.ndarray]:
        """Returns c."""
        return [np.zeros(spec.shape, np.float32) for spec in self.model.trainable]

    def initial_state(self, initial_weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns c_k."""
        return [np.zeros(weight.shape, np.float32) for weight in initial_weights]

    def next_shared(self, shared: local_algorithm.Tensors, sums: local_algorithm.Tensors) -> local_algorithm.Tensors:
        """Returns c + the sum of the changes / N."""
        return [control + change / self.silos for control, change in zip(shared, sums, strict=True)]

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        controls = (list(message.shared), list(task.state))
        passed = self._steps(start, message.non_trainable, task, controls)
        update = local_algorithm.differences(start, passed.weights)
        path = tf.cast(task.rows.steps, tf.float32) * task.learning_rate
        changes = [
            difference / batch_loop.of_silos(path, difference) - control
            for difference, control in zip(update, message.shared, strict=True)
        ]
        return local_algorithm.Trained(
            update=update,
            weight=task.weight,
            shared=changes,
            state=[own + change for own, change in zip(task.state, changes, strict=True)],
            loss=local_algorithm.mean_loss(passed.loss, passed.rows),
            rows=passed.rows,
            before=start,
            after=passed.weights,
        )


def _towards_the_mean(
    gradients: local_algorithm.Tensors, weights: local_algorithm.Tensors, controls: Any
) -> local_algorithm.Tensors:
    del weights
    return [gradient - own + control for gradient, control, own in zip(gradients, *controls, strict=True)]
