"""One round of a group of silos, with what every algorithm needs around it: the report, and the check of the update."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tff_runtime import job as job_lib
from tff_runtime.learning import batch_loop, local_algorithm
from tff_runtime.privacy import private_gradients
from tff_runtime.settings import privacy


class Report(NamedTuple):
    """What is known of each silo after a round, each float32 of shape `(silos,)`.

    Attributes:
        number: Number of the silo among the job's training silos.
        rows: Rows that were trained on, counted once in every epoch.
        loss: Mean loss of the rows in training.
        update_norm: Euclidean norm of the update.
        finite: 1 if update, loss and state are finite, else 0: the silo is left out of the round.
        loss_before: Mean loss of the model that the silo began the round with on its rows; NaN where not measured.
        loss_after: The same of its model after local training.

    Under record-level privacy `loss` is 0, and `rows` is 0: how many rows were drawn is nobody's business.
    """

    number: tf.Tensor
    rows: tf.Tensor
    loss: tf.Tensor
    update_norm: tf.Tensor
    finite: tf.Tensor
    loss_before: tf.Tensor
    loss_after: tf.Tensor


class SiloResults(NamedTuple):
    """What a group of silos sends, as `local_algorithm.Trained`; zeros, and the old state, where it is not finite."""

    update: local_algorithm.Tensors
    weight: tf.Tensor
    shared: local_algorithm.Tensors
    state: local_algorithm.Tensors
    report: Report


def train(
    algorithm: local_algorithm.LocalAlgorithm, message: local_algorithm.Message, task: local_algorithm.SiloTask
) -> SiloResults:
    """Trains a group of silos for one round from the global weights."""
    silos = task.rows.order.shape[0]
    start = local_algorithm.repeated(message.trainable, silos)
    trained = algorithm.train(message, start, task)
    finite = tf.math.is_finite(trained.loss) & tf.math.is_finite(trained.weight)
    for tensor in [*trained.update, *trained.shared, *trained.state]:
        finite &= tf.reduce_all(tf.math.is_finite(tf.reshape(tensor, [silos, -1])), axis=1)

    def kept(values: tf.Tensor, otherwise: tf.Tensor) -> tf.Tensor:
        return tf.where(batch_loop.of_silos(finite, values), values, otherwise)

    update = [kept(change, tf.zeros_like(change)) for change in trained.update]
    return SiloResults(
        update=update,
        weight=kept(trained.weight, tf.zeros_like(trained.weight)),
        shared=[kept(values, tf.zeros_like(values)) for values in trained.shared],
        state=[kept(new, old) for new, old in zip(trained.state, task.state, strict=True)],
        report=Report(
            number=tf.cast(task.number, tf.float32),
            rows=tf.zeros_like(trained.rows) if task.privacy else trained.rows,
            loss=trained.loss,
            update_norm=tf.sqrt(local_algorithm.squared_norm(update)),
            finite=tf.cast(finite, tf.float32),
            loss_before=_or_unknown(trained.loss_before, silos),
            loss_after=_or_unknown(trained.loss_after, silos),
        ),
    )


def _or_unknown(loss: tf.Tensor | None, silos: int) -> tf.Tensor:
    return tf.fill([silos], np.float32(np.nan)) if loss is None else loss


def privacy_specs(job: job_lib.TrainingJob) -> dict[str, tf.TensorSpec]:
    """Returns the types of one silo's `private_gradients.SiloNoise` by field; none without record-level privacy."""
    if not isinstance(job.privacy, privacy.RecordLevel):
        return {}
    scalar = tf.TensorSpec((), tf.float32)
    keys = tf.TensorSpec((2,), tf.uint64)
    noise = private_gradients.SiloNoise(scalar, noise_multiplier=scalar, expected_batch_size=scalar, keys=keys)
    return noise._asdict()
