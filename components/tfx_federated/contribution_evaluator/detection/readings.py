"""What a detector says of a silo."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tfx_federated.contribution_evaluator.detection import vectors


class Kind(enum.StrEnum):
    """What a finding is about; only the first three question a silo's conduct or its data."""

    FREE_RIDING = "free_riding"
    HARM = "harm"
    DUPLICATE = "duplicate"
    TOO_FEW_ROWS = "too_few_rows"
    DOMINANCE = "dominance"


@dataclass(frozen=True)
class Reading:
    """What one detector measured on every silo.

    Attributes:
        detector: Its name.
        kind: What it looks for.
        p_value: How often an honest silo of as many rows looks at least so odd, [silos]; NaN where it cannot tell.
        reason: A sentence about the silo at a position, for people who do not know the method.
        evidence: Numbers behind it by name, [silos] each.
        series: The same round by round, for a plot, [rounds, silos] each.
        peers: Other silos that the finding is about, such as the twin of a duplicate, by position.
    """

    detector: str
    kind: Kind
    p_value: vectors.Array
    reason: Callable[[int], str]
    evidence: Mapping[str, vectors.Array] = field(default_factory=dict)
    series: Mapping[str, vectors.Array] = field(default_factory=dict)
    peers: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One silo that should be looked at. It is evidence for a talk with the silo, never a verdict.

    Attributes:
        silo: Name of the silo.
        detector: Which detector found it.
        kind: What it is about.
        score: In [0, 1]; 1 is the clearest. For tests 1 - p_value.
        p_value: How often an honest silo of as many rows looks at least so odd to this detector; None where the finding
            is a plain fact and no test, as for the kinds `TOO_FEW_ROWS` and `DOMINANCE`.
        reason: In words.
        evidence: Numbers behind it.
        series: Numbers by round, NaN where the silo was not asked, for a plot.
        peer: Another silo that it is about, else None.
    """

    silo: str
    detector: str
    kind: Kind
    score: float
    p_value: float | None
    reason: str
    evidence: Mapping[str, float]
    series: Mapping[str, list[float]]
    peer: str | None = None


@dataclass(frozen=True)
class Impossible:
    """A detector that could not work.

    Attributes:
        detector: Its name.
        reason: What it would have needed.
    """

    detector: str
    reason: str
