"""What a population is made from: the manifest that a report, a cache and another system's entrant share."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from benchmarks.data import tables

FORMAT = 1
SOURCES = ("flights", "taxi")


def _require(is_right: bool, name: str, value: object, what: str) -> None:
    if not is_right:
        raise ValueError(f"{name} is {value!r}; it must be {what}")


@dataclasses.dataclass(frozen=True)
class Family:
    """How silos are made from the rows of a source.

    Without `silos` they are the source's own (airlines, taxi companies). With it their number, sizes and mixtures are
    controlled.

    Attributes:
        silos: Number of silos, at least 2; None for those of the source.
        rows: Training rows of all silos together, at least `silos`; None for all. Of a natural silo a share is drawn,
            the same of each.
        least_rows: Training rows that a silo keeps at least, where it has them.
        size_skew: Exponent of Zipf's law of the sizes, at least 0; 0 is equal sizes.
        label_skew: Concentration of the Dirichlet distribution of a silo's labels around the source's
            (Hsu et al., arXiv 1909.06335, section 3); None for no skew.
        feature_skew: The same for the natural silos that a silo's rows come from.
        shifted_share: Share of the silos in which each label means the other, in training and in evaluation: the label
            swap of Sattler et al., arXiv 1910.01991, section 6.
        planted: `""`, or what planted silos do: a name in `populations.PLANTED`.
        planted_share: Share of the silos that are planted, in [0, 1).
    """

    silos: int | None = None
    rows: int | None = None
    least_rows: int = 1
    size_skew: float = 0.0
    label_skew: float | None = None
    feature_skew: float | None = None
    shifted_share: float = 0.0
    planted: str = ""
    planted_share: float = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _require(self.silos is None or self.silos >= 2, "silos", self.silos, "at least 2, or None")
        least = self.silos or 1
        _require(self.rows is None or self.rows >= least, "rows", self.rows, f"at least {least}, or None")
        _require(self.least_rows >= 1, "least_rows", self.least_rows, "at least 1")
        _require(self.size_skew >= 0, "size_skew", self.size_skew, "at least 0")
        for name in ("label_skew", "feature_skew"):
            value = getattr(self, name)
            _require(value is None or value > 0, name, value, "positive, or None")
        for name in ("shifted_share", "planted_share"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "at least 0 and below 1")
        _require(bool(self.planted) == (self.planted_share > 0), "planted", self.planted, "given with planted_share")
        is_natural = self.silos is None
        has_skew = bool(self.size_skew) or self.label_skew is not None or self.feature_skew is not None
        _require(not (is_natural and has_skew), "silos", None, "a number, as a skew is asked for")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Reproduces a population, row by row.

    Attributes:
        source: One of `SOURCES`.
        split: One of `tables.SPLITS`.
        family: How silos are made.
        evaluation_share: Share of the evaluation rows that is kept of each silo, in (0, 1].
        least_evaluation_rows: Evaluation rows that a silo keeps at least, where it has them.
        seed: Decides every draw.
        checksum: `populations.checksum` of the population; empty if it has not been made yet.
    """

    source: str
    split: str = "whole_days"
    family: Family = Family()
    evaluation_share: float = 1.0
    least_evaluation_rows: int = 1
    seed: int = 0
    checksum: str = ""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _require(self.source in SOURCES, "source", self.source, f"one of {', '.join(SOURCES)}")
        _require(self.split in tables.SPLITS, "split", self.split, f"one of {', '.join(tables.SPLITS)}")
        _require(0 < self.evaluation_share <= 1, "evaluation_share", self.evaluation_share, "above 0 and at most 1")
        _require(self.least_evaluation_rows >= 1, "least_evaluation_rows", self.least_evaluation_rows, "at least 1")
        _require(self.seed >= 0, "seed", self.seed, "at least 0")

    def to_json(self) -> str:
        """Returns the manifest as JSON text."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: The text is of another format, or a field is unknown or out of its range.
        """
        fields: dict[str, Any] = json.loads(text)
        if (found := fields.pop("format", None)) != FORMAT:
            raise ValueError(f"the manifest has format {found}; this suite reads format {FORMAT}")
        try:
            return cls(**{**fields, "family": Family(**fields["family"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"the manifest has other fields than format {FORMAT}: {error}") from None

    @property
    def key(self) -> str:
        """A digest of what decides the rows."""
        text = dataclasses.replace(self, checksum="").to_json()
        return hashlib.sha256(text.encode()).hexdigest()
