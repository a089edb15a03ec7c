"""FedSGD (McMahan et al., arXiv 1602.05629, section 2): each silo sends the gradient of its mean loss over all rows."""

from __future__ import annotations

from tff_runtime import functional_model
from tff_runtime.learning import local_algorithm, local_steps
from tff_runtime.settings import algorithms as settings


class FedSGD(local_algorithm.LocalAlgorithm):
    """One full gradient a round."""

    def __init__(self, model: functional_model.FunctionalModel, setting: settings.FedSGD, silos: int) -> None:
        """Takes the model; the setting has no parameters."""
        super().__init__(model, silos)
        self._full_pass = local_steps.FullPass(model)

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        loss, gradients, rows = self._full_pass(start, message.non_trainable, task.one_epoch)
        return local_algorithm.Trained(
            gradients, task.weight, shared=[], state=[], loss=loss, rows=rows, before=start, after=None
        )
