"""Tilted empirical risk over silos (TERM: Li et al., arXiv 2007.01162, equation 2 with silos for samples).

The objective is (1 / t) log sum_k p_k exp(t F_k(w)), whose gradient is the mean of the silos' gradients by the weights
p_k exp(t F_k). A constant taken from every F_k changes no ratio of weights; the value of the objective in the round
before keeps them in the range of float32.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime.learning import local_algorithm, local_steps
from tff_runtime.settings import algorithms as settings

# exp of more overflows when some silos' are added.
_LARGEST_EXPONENT = 60.0


class TiltedFederated(local_algorithm.LocalAlgorithm):
    """Local SGD whose updates count by the exponential of the loss."""

    def __init__(self, model: functional_model.FunctionalModel, setting: settings.TiltedFederated, silos: int) -> None:
        """Takes the model and t."""
        super().__init__(model, silos)
        self._tilt = setting.tilt
        self._loss = local_steps.FullLoss(model)
        self._steps = local_steps.LocalSteps(model)

    def initial_shared(self) -> list[np.ndarray]:
        """Returns the constant."""
        return [np.zeros((), np.float32)]

    def contribution(self) -> list[np.ndarray]:
        """Returns zeros for the tilted weight and the weight."""
        return [np.zeros((), np.float32), np.zeros((), np.float32)]

    def next_shared(self, shared: local_algorithm.Tensors, sums: local_algorithm.Tensors) -> local_algorithm.Tensors:
        """Returns the objective's value at the round's weights; the constant stays where no silo took part."""
        tilted, weight = sums
        value = shared[0] + tf.math.log(tilted / weight) / self._tilt
        return [tf.where(tf.math.is_finite(value), value, shared[0])]

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        loss = self._loss(start, message.non_trainable, task.one_epoch)
        exponent = self._tilt * (loss - message.shared[0])
        weight = task.weight * tf.exp(tf.minimum(exponent, _LARGEST_EXPONENT))
        passed = self._steps(start, message.non_trainable, task)
        return local_algorithm.Trained(
            update=local_algorithm.differences(start, passed.weights),
            weight=weight,
            shared=[weight, task.weight],
            state=[],
            loss=local_algorithm.mean_loss(passed.loss, passed.rows),
            rows=passed.rows,
            before=start,
            after=passed.weights,
        )
