"""FedProx (Li et al., arXiv 1812.06127, equation 2).

Silo k minimises F_k(v) + mu / 2 |v - w|^2 from the weights w that it was sent, instead of F_k(v): each gradient g of
F_k becomes g + mu (v - w). (`tff.learning.algorithms.build_weighted_fed_prox` of TFF 0.87 adds mu (w - v), which
drives the silos apart.)
"""

from __future__ import annotations

from tff_runtime import functional_model
from tff_runtime.learning import local_algorithm, local_steps
from tff_runtime.settings import algorithms as settings


class FedProx(local_algorithm.LocalAlgorithm):
    """Local SGD held near the weights that it started from."""

    def __init__(self, model: functional_model.FunctionalModel, setting: settings.FedProx, silos: int) -> None:
        """Takes the model and mu."""
        super().__init__(model, silos)
        self._steps = local_steps.LocalSteps(model, proximal_correction(setting.strength))

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        passed = self._steps(start, message.non_trainable, task, list(start))
        return local_algorithm.Trained(
            update=local_algorithm.differences(start, passed.weights),
            weight=task.weight,
            shared=[],
            state=[],
            loss=local_algorithm.mean_loss(passed.loss, passed.rows),
            rows=passed.rows,
            before=start,
            after=passed.weights,
        )


def proximal_correction(strength: float) -> local_steps.Correction:
    """Returns the correction g + strength (v - w), where the constants are w."""
    return lambda gradients, weights, origin: [
        gradient + strength * (weight - start)
        for gradient, weight, start in zip(gradients, weights, origin, strict=True)
    ]
