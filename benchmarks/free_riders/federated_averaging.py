"""Federated averaging in NumPy, for silos that lie: the trainer has none, because it runs every silo's steps itself.

The maths are the trainer's (McMahan et al., arXiv 1602.05629, algorithm 1), with the network of the pipelines: one
hidden layer of rectified linear units, binary cross-entropy, SGD.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.data import tables

Matrix = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a federation trains; names and values are those of the flights' pipeline.

    Attributes:
        rounds: Rounds.
        local_epochs: Passes of a silo over its rows in a round.
        batch_size: Rows in a step.
        client_learning_rate: Of the silos' SGD.
        hidden_units: Of the network.
    """

    rounds: int = 20
    local_epochs: int = 1
    batch_size: int = 64
    client_learning_rate: float = 0.1
    hidden_units: int = 32


@dataclasses.dataclass(frozen=True)
class Round:
    """What the server sees of a round.

    Attributes:
        global_weights: Weights before it, [parameters].
        updates: [silos, parameters].
        loss_before: Mean loss of those weights on the silo's rows, [silos].
        loss_after: Mean loss after its local training, [silos].
    """

    global_weights: Matrix
    updates: Matrix
    loss_before: npt.NDArray[np.float64]
    loss_after: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Run:
    """A whole training.

    Attributes:
        silos: Names, [silos].
        rows: Rows that each silo claims, which are its weight, [silos].
        rounds: Every round.
        final_weights: Weights after the last round, [parameters].
    """

    silos: Sequence[str]
    rows: npt.NDArray[np.int64]
    rounds: Sequence[Round]
    final_weights: Matrix

    def aggregate(self, number: int) -> Matrix:
        """Returns the weighted mean of a round's updates, [parameters]."""
        return np.average(self.rounds[number].updates, axis=0, weights=self.rows).astype(np.float32)


# What a silo sends: (round from 0, global weights now, those before or None, what it would have trained) -> update.
Lie = Callable[[int, Matrix, Matrix | None, Matrix], Matrix]


def train(
    silos: Sequence[tables.SiloRows],
    settings: Settings,
    seed: int,
    lies: dict[str, Lie] | None = None,
) -> Run:
    """Trains a federation.

    Args:
        silos: Their rows.
        settings: How.
        seed: Decides initial weights and the order of the rows.
        lies: What some silos send instead of their update, by name. The losses that a liar claims are those that it
            would have if it were honest: it cannot know them in truth.
    """
    lies = lies or {}
    generator = np.random.default_rng(seed)
    network = Network(silos[0].features.shape[1], settings.hidden_units)
    weights = network.initial_weights(generator)
    rows = np.array([len(silo.labels) for silo in silos])
    shares = (rows / rows.sum()).astype(np.float32)
    before: Matrix | None = None
    rounds = []
    for number in range(settings.rounds):
        updates, losses = [], []
        for silo in silos:
            trained = network.train(weights, silo, settings, generator)
            losses.append((network.loss(weights, silo), network.loss(trained, silo)))
            update = trained - weights
            updates.append(lies[silo.name](number, weights, before, update) if silo.name in lies else update)
        loss_before, loss_after = np.array(losses).T
        rounds.append(Round(weights, np.stack(updates), loss_before, loss_after))
        before, weights = weights, weights + shares @ rounds[-1].updates
    return Run([silo.name for silo in silos], rows, rounds, weights)


class Network:
    """One hidden layer and a logit, as a function of one vector of weights."""

    def __init__(self, features: int, hidden_units: int) -> None:
        """Makes the network; it has `features * hidden_units + 2 * hidden_units + 1` weights."""
        self.shapes = {
            "hidden/kernel": (features, hidden_units),
            "hidden/bias": (hidden_units,),
            "delay/kernel": (hidden_units, 1),
            "delay/bias": (1,),
        }
        self._ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])

    def initial_weights(self, generator: np.random.Generator) -> Matrix:
        """Draws kernels as Glorot and Bengio, AISTATS 2010, equation 16; biases are 0."""
        parts = []
        for shape in self.shapes.values():
            limit = np.sqrt(6 / sum(shape)) if len(shape) == 2 else 0.0
            parts.append(generator.uniform(-limit, limit, shape).ravel())
        return np.concatenate(parts).astype(np.float32)

    def train(
        self, weights: Matrix, silo: tables.SiloRows, settings: Settings, generator: np.random.Generator
    ) -> Matrix:
        """Returns the weights after the local epochs, [parameters]."""
        weights = weights.copy()
        parts = self._parts(weights)
        for _ in range(settings.local_epochs):
            order = generator.permutation(len(silo.labels))
            for start in range(0, len(order), settings.batch_size):
                batch = order[start : start + settings.batch_size]
                self._step(parts, silo.features[batch], silo.labels[batch], settings.client_learning_rate)
        return weights

    def loss(self, weights: Matrix, silo: tables.SiloRows) -> float:
        """Returns the mean binary cross-entropy on the silo's rows."""
        logits = self.logits(weights, silo.features)
        return float(np.mean(np.logaddexp(0, logits) - silo.labels * logits))

    def logits(self, weights: Matrix, features: Matrix) -> Matrix:
        """Returns the logits, [rows]."""
        kernel, bias, out, out_bias = self._parts(weights)
        return (np.maximum(features @ kernel + bias, 0) @ out + out_bias)[:, 0]

    def _step(self, parts: list[Matrix], features: Matrix, labels: Matrix, learning_rate: float) -> None:
        kernel, bias, out, out_bias = parts
        hidden = np.maximum(features @ kernel + bias, 0)
        logits = (hidden @ out + out_bias)[:, 0]
        error = ((1 / (1 + np.exp(-logits)) - labels) / len(labels))[:, np.newaxis]
        back = (error @ out.T) * (hidden > 0)
        for part, gradient in zip(parts, (features.T @ back, back.sum(0), hidden.T @ error, error.sum(0)), strict=True):
            part -= learning_rate * gradient

    def _parts(self, weights: Matrix) -> list[Matrix]:
        """Returns views of the weights, one for each variable."""
        parts = np.split(weights, self._ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes.values(), strict=True)]
