"""When a training ends, and which round's model is kept."""

from __future__ import annotations

import dataclasses

from tff_runtime.settings import encoding


@dataclasses.dataclass(frozen=True)
class LastRound:
    """All rounds are run; the last model is kept."""


@dataclasses.dataclass(frozen=True)
class BestRound:
    """The model of the best evaluation is kept, and training ends when none was better for a while.

    A silo that also trains alone keeps the model that is best on its own rows of the evaluation split, without such
    rows its last one; it trains as long as the federation does.

    Attributes:
        metric: `loss`, or the name of one of the model's metrics, on the evaluation split.
        of: `overall` for the mean over rows, `silos` for the mean over silos, `worst_silo` for the worst one.
        higher_is_better: Whether a higher value is better; false for `loss`.
        patience: Training ends after so many evaluations without a better one, at least 1; None to run all rounds.
    """

    metric: str = "loss"
    of: str = "overall"
    higher_is_better: bool = False
    patience: int | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(self.of in ("overall", "silos", "worst_silo"), self, "of", "overall, silos or worst_silo")
        encoding.require(self.patience is None or self.patience >= 1, self, "patience", "at least 1")


ALTERNATIVES = (LastRound, BestRound)
