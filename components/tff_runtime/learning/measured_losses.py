"""What local training does to a silo's loss: an algorithm, and two passes over each silo's rows around its training."""

from __future__ import annotations

from tff_runtime.learning import local_algorithm, local_steps


class MeasuredLosses(local_algorithm.Around):
    """Another algorithm, with the loss of each silo's model before and after its local training."""

    def __init__(self, inner: local_algorithm.LocalAlgorithm) -> None:
        """Takes the other algorithm."""
        super().__init__(inner)
        self._loss = local_steps.FullLoss(inner.model)

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        trained = self._inner.train(message, start, task)
        loss_before = self._loss(trained.before, message.non_trainable, task.one_epoch)
        loss_after = None
        if trained.after is not None:
            loss_after = self._loss(trained.after, message.non_trainable, task.one_epoch)
        return trained._replace(loss_before=loss_before, loss_after=loss_after)
