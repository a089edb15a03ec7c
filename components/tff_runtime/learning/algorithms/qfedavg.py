"""q-FedAvg (Li et al., arXiv 1905.10497, algorithm 2), for the objective sum_k p_k F_k(w)^(q+1) / (q+1).

With L = 1 / learning rate, silo k trains from w to w_k, and Delta w_k = L (w - w_k). The next weights are
w - sum_k p_k F_k^q Delta w_k / sum_k p_k h_k, where h_k = q F_k^(q-1) |Delta w_k|^2 + L F_k^q and F_k is the loss at w.
That is the mean of the updates F_k^q Delta w_k / h_k by the weights p_k h_k, where p_k is the silo's weight.
"""

from __future__ import annotations

import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime.learning import batch_loop, local_algorithm, local_steps
from tff_runtime.settings import algorithms as settings

# The smallest loss that is raised to q - 1.
_SMALLEST_LOSS = 1e-10


class QFedAvg(local_algorithm.LocalAlgorithm):
    """Local SGD whose updates count by a power of the loss."""

    def __init__(self, model: functional_model.FunctionalModel, setting: settings.QFedAvg, silos: int) -> None:
        """Takes the model and q."""
        super().__init__(model, silos)
        self._q = setting.q
        self._loss = local_steps.FullLoss(model)
        self._steps = local_steps.LocalSteps(model)

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        loss = tf.maximum(self._loss(start, message.non_trainable, task.one_epoch), _SMALLEST_LOSS)
        passed = self._steps(start, message.non_trainable, task)
        lipschitz = 1 / task.learning_rate
        changes = [lipschitz * change for change in local_algorithm.differences(start, passed.weights)]
        factor = tf.pow(loss, self._q)
        norm = local_algorithm.squared_norm(changes)
        curvature = self._q * tf.pow(loss, self._q - 1) * norm + lipschitz * factor
        return local_algorithm.Trained(
            update=[change * batch_loop.of_silos(factor / curvature, change) for change in changes],
            weight=task.weight * curvature,
            shared=[],
            state=[],
            loss=local_algorithm.mean_loss(passed.loss, passed.rows),
            rows=passed.rows,
            before=start,
            after=passed.weights,
        )
