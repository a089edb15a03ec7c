"""What an algorithm does at the silos, and what it keeps at the server beside the weights.

Everything at the silos has a silo axis: the same function trains one silo in a TFF client and many at once in the
trainer's own process.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime.learning import batch_loop

Tensors = Sequence[tf.Tensor]


class Message(NamedTuple):
    """What the server sends to every silo.

    Attributes:
        trainable: Global weights.
        non_trainable: Weights that training leaves as they are.
        shared: The algorithm's own state at the server.
    """

    trainable: Tensors
    non_trainable: Tensors
    shared: Tensors


class SiloTask(NamedTuple):
    """What a group of silos has for one round.

    Attributes:
        rows: The rows, and the batches of all local epochs.
        epoch_steps: How many of the steps make one epoch; int32, shape `(silos,)`.
        number: Number of each silo among the job's training silos; int32, shape `(silos,)`.
        weight: How much each silo's update counts; positive, shape `(silos,)`.
        learning_rate: Of the silos' SGD in this round; a scalar.
        state: What the silos keep from round to round, each of shape `(silos, *shape)`.
        privacy: What record-level privacy needs in this round; empty without it.
    """

    rows: batch_loop.Rows
    epoch_steps: tf.Tensor
    number: tf.Tensor
    weight: tf.Tensor
    learning_rate: tf.Tensor
    state: Tensors
    privacy: Mapping[str, tf.Tensor] = {}

    @property
    def one_epoch(self) -> batch_loop.Rows:
        """The rows with the batches of the first epoch only."""
        return self.rows._replace(steps=self.epoch_steps)


class Trained(NamedTuple):
    """What a group of silos returns from a round.

    Attributes:
        update: What the server's optimizer takes for a gradient: for local training the weights before less the weights
            after; each of shape `(silos, *shape)`.
        weight: How much the update counts, shape `(silos,)`.
        shared: What goes into the sum over silos for `LocalAlgorithm.next_shared`, each of shape `(silos, *shape)`.
        state: What the silos keep for their next round, each of shape `(silos, *shape)`.
        loss: Mean loss of the rows in training, shape `(silos,)`.
        rows: Rows that were trained on, counted once in every epoch; float32, shape `(silos,)`.
        before: Weights of the model that each silo began the round with, each of shape `(silos, *shape)`.
        after: The same after local training; None where a silo trains no model.
        loss_before: Mean loss of `before` on the silo's rows, shape `(silos,)`; None where it is not measured.
        loss_after: The same of `after`.
    """

    update: Tensors
    weight: tf.Tensor
    shared: Tensors
    state: Tensors
    loss: tf.Tensor
    rows: tf.Tensor
    before: Tensors
    after: Tensors | None
    loss_before: tf.Tensor | None = None
    loss_after: tf.Tensor | None = None


class LocalAlgorithm(abc.ABC):
    """An algorithm: its local training, and its state at the silos and at the server."""

    def __init__(self, model: functional_model.FunctionalModel, silos: int) -> None:
        """Takes the model and the number of silos of the training, sampled or not."""
        self.model = model
        self.silos = silos

    def initial_shared(self) -> list[np.ndarray]:
        """Returns the algorithm's state at the server before the first round."""
        return []

    def initial_state(self, initial_weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns what one silo keeps before its first round, without the silo axis."""
        del initial_weights
        return []

    def contribution(self) -> list[np.ndarray]:
        """Returns zeros of the types of `Trained.shared`, without the silo axis; those of the state at the server."""
        return [np.zeros_like(value) for value in self.initial_shared()]

    def next_shared(self, shared: Tensors, sums: Tensors) -> Tensors:
        """Returns the state at the server after a round.

        Args:
            shared: The state before.
            sums: `Trained.shared` summed over the silos of the round.
        """
        del sums
        return list(shared)

    def personal_weights(self, trainable: Tensors, state: Tensors) -> list[tf.Tensor] | None:
        """Returns the silos' own models, or None where they have none.

        Args:
            trainable: Global weights.
            state: What each silo keeps, each of shape `(silos, *shape)`.

        Returns:
            Weights of each silo, each of shape `(silos, *shape)`.
        """
        del trainable, state
        return None

    @abc.abstractmethod
    def train(self, message: Message, start: Tensors, task: SiloTask) -> Trained:
        """Trains a group of silos for one round.

        Args:
            message: What the server sent.
            start: The weights that each silo starts from, each of shape `(silos, *shape)`.
            task: The silos' rows and state.
        """


class Around(LocalAlgorithm):
    """An algorithm around another one: what it does not change is the other's."""

    def __init__(self, inner: LocalAlgorithm) -> None:
        """Takes the other algorithm."""
        super().__init__(inner.model, inner.silos)
        self._inner = inner

    def initial_shared(self) -> list[np.ndarray]:
        """See `LocalAlgorithm.initial_shared`."""
        return self._inner.initial_shared()

    def initial_state(self, initial_weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `LocalAlgorithm.initial_state`."""
        return self._inner.initial_state(initial_weights)

    def contribution(self) -> list[np.ndarray]:
        """See `LocalAlgorithm.contribution`."""
        return self._inner.contribution()

    def next_shared(self, shared: Tensors, sums: Tensors) -> Tensors:
        """See `LocalAlgorithm.next_shared`."""
        return self._inner.next_shared(shared, sums)

    def personal_weights(self, trainable: Tensors, state: Tensors) -> list[tf.Tensor] | None:
        """See `LocalAlgorithm.personal_weights`."""
        return self._inner.personal_weights(trainable, state)


def repeated(tensors: Tensors, silos: int | tf.Tensor) -> list[tf.Tensor]:
    """Returns a copy of every tensor for each silo, of shape `(silos, *shape)`."""
    return [tf.repeat(tf.convert_to_tensor(tensor)[tf.newaxis], silos, axis=0) for tensor in tensors]


def differences(before: Tensors, after: Tensors) -> list[tf.Tensor]:
    """Returns before - after, tensor by tensor."""
    return [old - new for old, new in zip(before, after, strict=True)]


def mean_loss(loss: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns the mean of a sum over rows."""
    return loss / tf.maximum(rows, 1.0)


def squared_norm(tensors: Tensors) -> tf.Tensor:
    """Returns the squared Euclidean norm of each silo's tensors together, shape `(silos,)`."""
    return tf.add_n([tf.reduce_sum(tf.square(tensor), axis=range(1, tensor.shape.rank)) for tensor in tensors])
