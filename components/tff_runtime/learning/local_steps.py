"""Local training and full passes of a group of silos: the inner loops that every algorithm is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tff_runtime import functional_model, traced_gradients
from tff_runtime.learning import batch_loop, local_algorithm
from tff_runtime.privacy import private_gradients

Weights = Sequence[tf.Tensor]
# (gradients, weights, constants of the algorithm) -> gradients; each `(silos, *shape)`.
Correction = Callable[[Weights, Weights, Any], Weights]


class Passed(NamedTuple):
    """What a pass over batches leaves.

    Attributes:
        weights: Weights of each silo, each `(silos, *shape)`.
        loss: Sum of the rows' losses, each under the weights that its batch met; shape `(silos,)`.
        rows: Rows that were met; float32, shape `(silos,)`.
    """

    weights: Weights
    loss: tf.Tensor
    rows: tf.Tensor


class LocalSteps:
    """SGD of each silo from its own weights over its batches: w <- w - rate * correction(gradient of the mean loss)."""

    def __init__(self, model: functional_model.FunctionalModel, correction: Correction | None = None) -> None:
        """Takes the model and what the algorithm makes of a gradient."""
        self._model = model
        self._correction = correction
        self._loop = batch_loop.BatchLoop(self._step)

    def __call__(
        self,
        start: Weights,
        non_trainable: Weights,
        task: local_algorithm.SiloTask,
        constants: Any = (),
    ) -> Passed:
        """Returns the silos after their steps.

        Args:
            start: Weights to start from, each `(silos, *shape)`.
            non_trainable: Weights that all silos share.
            task: The silos' rows and batches, their learning rate, and what record-level privacy needs, if they have
                it.
            constants: What the correction reads.
        """
        zeros = tf.zeros(task.rows.steps.shape)
        carry = Passed(list(start), zeros, zeros)
        return self._loop(carry, task.rows, (list(non_trainable), task.learning_rate, dict(task.privacy), constants))

    def _step(self, carry: Passed, batch: batch_loop.Batch, constants: Any) -> Passed:
        non_trainable, learning_rate, privacy, corrected_by = constants
        if privacy:
            # The loss of the training rows is not private, and is not told.
            loss = tf.zeros_like(carry.loss)
            gradients = _private_gradients(self._model, carry.weights, non_trainable, batch, privacy)
        else:
            loss, gradients = _mean_loss_gradients(self._model, carry.weights, non_trainable, batch)
        if self._correction:
            gradients = self._correction(gradients, carry.weights, corrected_by)
        weights = [
            tf.where(batch_loop.of_silos(batch.active, weight), weight - learning_rate * gradient, weight)
            for weight, gradient in zip(carry.weights, gradients, strict=True)
        ]
        return Passed(weights, carry.loss + loss, carry.rows + tf.reduce_sum(batch.mask, axis=1))


class FullPass:
    """The mean loss of each silo over its batches, and its gradient, with the weights held."""

    def __init__(self, model: functional_model.FunctionalModel) -> None:
        """Takes the model."""
        self._model = model
        self._loop = batch_loop.BatchLoop(self._step)

    def __call__(
        self, weights: Weights, non_trainable: Weights, rows: batch_loop.Rows
    ) -> tuple[tf.Tensor, Weights, tf.Tensor]:
        """Returns the mean loss `(silos,)`, its gradient `(silos, *shape)` of each weight, and the rows `(silos,)`."""
        zeros = tf.zeros(rows.steps.shape)
        carry = Passed([tf.zeros_like(weight) for weight in weights], zeros, zeros)
        sums = self._loop(carry, rows, (list(weights), list(non_trainable)))
        count = tf.maximum(sums.rows, 1.0)
        gradients = [gradient / batch_loop.of_silos(count, gradient) for gradient in sums.weights]
        return sums.loss / count, gradients, sums.rows

    def _step(self, carry: Passed, batch: batch_loop.Batch, constants: Any) -> Passed:
        weights, non_trainable = constants
        loss, gradients = _mean_loss_gradients(self._model, weights, non_trainable, batch)
        rows = tf.reduce_sum(batch.mask, axis=1)
        sums = [
            total + gradient * batch_loop.of_silos(rows, gradient)
            for total, gradient in zip(carry.weights, gradients, strict=True)
        ]
        return Passed(sums, carry.loss + loss, carry.rows + rows)


class FullLoss:
    """The mean loss of each silo over its batches, with the weights held: `FullPass` without the gradient."""

    def __init__(self, model: functional_model.FunctionalModel) -> None:
        """Takes the model."""
        self._model = model
        self._loop = batch_loop.BatchLoop(self._step)

    def __call__(self, weights: Weights, non_trainable: Weights, rows: batch_loop.Rows) -> tf.Tensor:
        """Returns the mean loss, shape `(silos,)`."""
        zeros = tf.zeros(rows.steps.shape)
        loss, count = self._loop((zeros, zeros), rows, (list(weights), list(non_trainable)))
        return loss / tf.maximum(count, 1.0)

    def _step(self, carry: Any, batch: batch_loop.Batch, constants: Any) -> Any:
        loss, rows = carry
        weights, non_trainable = constants
        losses = self._model.example_losses(weights, non_trainable, batch.features, batch.labels)
        return loss + _masked_sum(losses, batch.mask), rows + tf.reduce_sum(batch.mask, axis=1)


def _mean_loss_gradients(
    model: functional_model.FunctionalModel, weights: Weights, non_trainable: Weights, batch: batch_loop.Batch
) -> tuple[tf.Tensor, Weights]:
    """Returns the sum of each silo's losses, and the gradients of its mean loss with the regularization losses."""

    def loss_gradients(
        weights: Weights,
        non_trainable: Weights,
        features: functional_model.Features,
        labels: tf.Tensor,
        mask: tf.Tensor,
    ) -> tuple[tf.Tensor, Weights]:
        losses = model.example_losses(weights, non_trainable, features, labels)
        loss = _masked_sum(losses, mask)
        mean = loss / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)
        # The silos' weights are apart, so that the gradient of the sum is that of each.
        objective = tf.reduce_sum(mean + model.regularization_losses(weights, non_trainable))
        return loss, traced_gradients.gradients(objective, weights)

    arguments = (list(weights), list(non_trainable), dict(batch.features), batch.labels, batch.mask)
    return traced_gradients.traced_apart(loss_gradients, *arguments)


def _private_gradients(
    model: functional_model.FunctionalModel,
    weights: Weights,
    non_trainable: Weights,
    batch: batch_loop.Batch,
    privacy: Mapping[str, tf.Tensor],
) -> Weights:
    """Returns the private gradients of the mean loss, with those of the regularization losses, which read no rows."""
    # The clipping norm is the same for all silos.
    noise = private_gradients.SiloNoise(**{**privacy, "clip_norm": privacy["clip_norm"][0]})
    gradients = private_gradients.private_gradients(
        model.example_losses, weights, non_trainable, batch.features, batch.labels, batch.mask, noise, batch.step
    )
    if not model.is_regularized:
        return gradients
    regularization = traced_gradients.traced_apart(
        lambda weights, non_trainable: traced_gradients.gradients(
            tf.reduce_sum(model.regularization_losses(weights, non_trainable)), weights
        ),
        list(weights),
        list(non_trainable),
    )
    return [private + public for private, public in zip(gradients, regularization, strict=True)]


def _masked_sum(losses: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    # Padding repeats a row of the silo, whose loss may be infinite: times 0 it would be no number.
    return tf.reduce_sum(tf.where(mask > 0, losses, 0.0), axis=1)
