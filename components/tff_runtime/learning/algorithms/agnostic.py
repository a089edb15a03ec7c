"""Agnostic federated learning (Mohri et al., arXiv 1902.00146, section 5): min over w of the worst mixture of the F_k.

The server keeps the mixture lambda in the simplex. Each round it averages the silos' updates by lambda, moves lambda
along the silos' losses at w, and projects it back into the simplex. A silo that is not in the round's cohort keeps
what the projection leaves it.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime.learning import local_algorithm, local_steps
from tff_runtime.settings import algorithms as settings


class AgnosticFederated(local_algorithm.LocalAlgorithm):
    """Local SGD whose updates count by the mixture."""

    def __init__(
        self, model: functional_model.FunctionalModel, setting: settings.AgnosticFederated, silos: int
    ) -> None:
        """Takes the model and the learning rate of the mixture."""
        super().__init__(model, silos)
        self._rate = setting.mixture_learning_rate
        self._loss = local_steps.FullLoss(model)
        self._steps = local_steps.LocalSteps(model)

    def initial_shared(self) -> list[np.ndarray]:
        """Returns lambda: every silo the same."""
        return [np.full(self.silos, 1 / self.silos, np.float32)]

    def next_shared(self, shared: local_algorithm.Tensors, sums: local_algorithm.Tensors) -> local_algorithm.Tensors:
        """Returns the projection of lambda + rate * losses."""
        return [project_to_simplex(shared[0] + self._rate * sums[0])]

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        loss = self._loss(start, message.non_trainable, task.one_epoch)
        passed = self._steps(start, message.non_trainable, task)
        return local_algorithm.Trained(
            update=local_algorithm.differences(start, passed.weights),
            weight=tf.gather(message.shared[0], task.number),
            shared=[tf.one_hot(task.number, self.silos) * loss[:, tf.newaxis]],
            state=[],
            loss=local_algorithm.mean_loss(passed.loss, passed.rows),
            rows=passed.rows,
            before=start,
            after=passed.weights,
        )


def project_to_simplex(point: tf.Tensor) -> tf.Tensor:
    """Returns the nearest point with no negative coordinate and sum 1 (Duchi et al., ICML 2008, figure 1)."""
    descending = tf.sort(point, direction="DESCENDING")
    count = tf.range(1, tf.size(point) + 1, dtype=point.dtype)
    excess = (tf.cumsum(descending) - 1) / count
    kept = tf.reduce_sum(tf.cast(descending > excess, tf.int32))
    return tf.maximum(point - excess[kept - 1], 0.0)
