"""Which silos take part in a round."""

from __future__ import annotations

import dataclasses

from tff_runtime.settings import encoding


@dataclasses.dataclass(frozen=True)
class AllSilos:
    """Every silo in every round."""


@dataclasses.dataclass(frozen=True)
class UniformSample:
    """Silos drawn anew for each round without replacement, each as likely as any other.

    Attributes:
        size: Silos in a round, at least 1.
    """

    size: int

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(self.size >= 1, self, "size", "at least 1")


@dataclasses.dataclass(frozen=True)
class SampleBySize:
    """Silos drawn anew for each round without replacement, a silo the more likely the more rows it has.

    Attributes:
        size: Silos in a round, at least 1.
    """

    size: int

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(self.size >= 1, self, "size", "at least 1")


@dataclasses.dataclass(frozen=True)
class RoundRobin:
    """The silos in turn, in an order that the seed decides, so that all take part equally often.

    Attributes:
        size: Silos in a round, at least 1.
    """

    size: int

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(self.size >= 1, self, "size", "at least 1")


ALTERNATIVES = (AllSilos, UniformSample, SampleBySize, RoundRobin)
