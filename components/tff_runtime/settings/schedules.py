"""How a learning rate changes from round to round; the first round has the rate itself."""

from __future__ import annotations

import dataclasses
import math

from tff_runtime.settings import encoding


@dataclasses.dataclass(frozen=True)
class Constant:
    """The same rate in every round."""

    def factor(self, round_number: int) -> float:
        """Returns what the rate is multiplied by in a round; the first is 1."""
        return 1.0


@dataclasses.dataclass(frozen=True)
class ExponentialDecay:
    """The rate times `factor_per_round` after each round.

    Attributes:
        factor_per_round: In (0, 1].
    """

    factor_per_round: float

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 < self.factor_per_round <= 1, self, "factor_per_round", "above 0 and at most 1")

    def factor(self, round_number: int) -> float:
        """Returns what the rate is multiplied by in a round; the first is 1."""
        return self.factor_per_round ** (round_number - 1)


@dataclasses.dataclass(frozen=True)
class CosineDecay:
    """Half a cosine from the rate down to `final_factor` times it (Loshchilov, Hutter: arXiv 1608.03983, equation 5).

    Attributes:
        rounds: The round from which the rate stays at its lowest, at least 2.
        final_factor: In [0, 1].
    """

    rounds: int
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(self.rounds >= 2, self, "rounds", "at least 2")
        encoding.require(0 <= self.final_factor <= 1, self, "final_factor", "between 0 and 1")

    def factor(self, round_number: int) -> float:
        """Returns what the rate is multiplied by in a round; the first is 1."""
        progress = min((round_number - 1) / (self.rounds - 1), 1.0)
        return self.final_factor + (1 - self.final_factor) * (1 + math.cos(math.pi * progress)) / 2


@dataclasses.dataclass(frozen=True)
class LinearWarmup:
    """The rate grows in equal steps to its full value, and stays.

    Attributes:
        rounds: The first round with the full rate, at least 1.
    """

    rounds: int

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(self.rounds >= 1, self, "rounds", "at least 1")

    def factor(self, round_number: int) -> float:
        """Returns what the rate is multiplied by in a round; the first is 1."""
        return min(round_number / self.rounds, 1.0)


ALTERNATIVES = (Constant, ExponentialDecay, CosineDecay, LinearWarmup)
