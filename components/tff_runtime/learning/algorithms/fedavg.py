"""Federated averaging (McMahan et al., arXiv 1602.05629, algorithm 1).

Silo k runs SGD from the global weights w over its rows to w_k and sends w - w_k.
"""

from __future__ import annotations

from tff_runtime import functional_model
from tff_runtime.learning import local_algorithm, local_steps
from tff_runtime.settings import algorithms as settings


class FedAvg(local_algorithm.LocalAlgorithm):
    """Local SGD."""

    def __init__(self, model: functional_model.FunctionalModel, setting: settings.FedAvg, silos: int) -> None:
        """Takes the model; the setting has no parameters."""
        super().__init__(model, silos)
        self._steps = local_steps.LocalSteps(model)

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        passed = self._steps(start, message.non_trainable, task)
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
