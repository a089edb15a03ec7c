"""What each silo keeps for itself."""

from __future__ import annotations

import dataclasses
import math

from tff_runtime.settings import encoding


@dataclasses.dataclass(frozen=True)
class NoPersonalization:
    """One model for all."""


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """Each silo goes on from the last global model on its own rows, and keeps the result where it is better.

    A silo keeps the epoch with the lowest loss on its own rows of the evaluation split, the global model among them
    (Yu et al., arXiv 2002.04758).

    Attributes:
        epochs: Most passes over the silo's rows, at least 1.
        learning_rate: Learning rate, positive.
    """

    epochs: int = 5
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(self.epochs >= 1, self, "epochs", "at least 1")
        encoding.require(0 < self.learning_rate < math.inf, self, "learning_rate", "positive and finite")


@dataclasses.dataclass(frozen=True)
class Ditto:
    """A model of its own for each silo, held near the global one (Li et al., arXiv 2012.04221, algorithm 1).

    Attributes:
        strength: The paper's lambda, positive: 0 is a silo alone, the larger the nearer to the global model.
    """

    strength: float

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 < self.strength < math.inf, self, "strength", "positive and finite")


@dataclasses.dataclass(frozen=True)
class LocalLayers:
    """Some layers stay with the silo, the others are federated (FedRep: Collins et al., arXiv 2102.07078; FedBN).

    The global model has the initial weights in those layers.

    Attributes:
        layers: Names of Keras layers, or prefixes of names that end in `*`; at least one.
    """

    layers: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks that there is one."""
        encoding.require(len(self.layers) >= 1, self, "layers", "a list of at least one layer")


@dataclasses.dataclass(frozen=True)
class MeanRegularized:
    """A model of its own for each silo, held near the mean of all (MR-MTL: Liu et al., arXiv 2206.07902, section 5).

    The global model is that mean. The strong baseline under record-level privacy.

    Attributes:
        strength: The paper's lambda, positive.
    """

    strength: float

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 < self.strength < math.inf, self, "strength", "positive and finite")


ALTERNATIVES = (NoPersonalization, FineTuning, Ditto, LocalLayers, MeanRegularized)
