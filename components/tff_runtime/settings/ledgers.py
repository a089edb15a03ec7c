"""What is kept of each silo's update."""

from __future__ import annotations

import dataclasses

from tff_runtime.settings import encoding


@dataclasses.dataclass(frozen=True)
class SummaryLedger:
    """A line for each silo in each round: weight, training loss, norm, and cosine to the mean update."""


@dataclasses.dataclass(frozen=True)
class DetailedLedger:
    """Besides, each silo's loss before and after its local training, and the updates themselves.

    What a silo contributes is computed from them. Whoever has them can also learn of the silo's rows from them.

    Attributes:
        maximum_bytes: The files of the updates are no larger together, at least 1; rounds that do not fit are left out.
    """

    maximum_bytes: int = 2**30

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(self.maximum_bytes >= 1, self, "maximum_bytes", "at least 1")


ALTERNATIVES = (SummaryLedger, DetailedLedger)
