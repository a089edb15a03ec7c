"""MIME-lite with SGD with momentum as its base (Karimireddy et al., arXiv 2008.03606, algorithm 1).

The silos step along (1 - beta) g + beta m, where the server's momentum m does not change during local training. Each
silo also sends the gradient of its mean loss at the global weights; their mean h makes the next m = (1 - beta) h +
beta m.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime.learning import batch_loop, local_algorithm, local_steps
from tff_runtime.settings import algorithms as settings


class MimeLite(local_algorithm.LocalAlgorithm):
    """Local SGD with the server's momentum."""

    def __init__(self, model: functional_model.FunctionalModel, setting: settings.MimeLite, silos: int) -> None:
        """Takes the model and beta."""
        super().__init__(model, silos)
        self._momentum = setting.momentum
        self._full_pass = local_steps.FullPass(model)
        self._steps = local_steps.LocalSteps(model, lambda gradients, weights, momentum: self._mix(gradients, momentum))

    def initial_shared(self) -> list[np.ndarray]:
        """Returns m."""
        return [np.zeros(spec.shape, np.float32) for spec in self.model.trainable]

    def contribution(self) -> list[np.ndarray]:
        """Returns zeros for the weighted gradients and the weight."""
        return [*self.initial_shared(), np.zeros((), np.float32)]

    def next_shared(self, shared: local_algorithm.Tensors, sums: local_algorithm.Tensors) -> local_algorithm.Tensors:
        """Returns the next m; it stays where no silo has sent a gradient."""
        *weighted_gradients, weight = sums
        means = [tf.math.divide_no_nan(total, weight) for total in weighted_gradients]
        mixed = self._mix(means, shared)
        return [tf.where(weight > 0, new, old) for new, old in zip(mixed, shared, strict=True)]

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        _, gradients, _ = self._full_pass(start, message.non_trainable, task.one_epoch)
        passed = self._steps(start, message.non_trainable, task, list(message.shared))
        weighted = [gradient * batch_loop.of_silos(task.weight, gradient) for gradient in gradients]
        return local_algorithm.Trained(
            update=local_algorithm.differences(start, passed.weights),
            weight=task.weight,
            shared=[*weighted, task.weight],
            state=[],
            loss=local_algorithm.mean_loss(passed.loss, passed.rows),
            rows=passed.rows,
            before=start,
            after=passed.weights,
        )

    def _mix(self, gradients: local_algorithm.Tensors, momentum: local_algorithm.Tensors) -> local_algorithm.Tensors:
        return [
            (1 - self._momentum) * gradient + self._momentum * kept
            for gradient, kept in zip(gradients, momentum, strict=True)
        ]
