"""What a training must fulfil to be blessed, as far as contributions tell: the rules of the gate.

Only the standard library is imported, so that a pipeline definition and the Kubeflow compiler can read the rules;
`gate` judges them. Rules on how good the model is for each silo are those of FairnessEvaluator.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Literal

from tff_runtime.settings import encoding

Outcome = Literal["fail", "pass"]
Kind = Literal["free_riding", "harm", "duplicate", "too_few_rows", "dominance"]


@dataclasses.dataclass(frozen=True)
class NoFindings:
    """The detectors find no silo.

    Attributes:
        kinds: Which findings count, at least one.
        when_undecided: Outcome if no detector of these kinds could work.
    """

    kinds: tuple[Kind, ...] = ("free_riding", "harm")
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the kinds."""
        names = typing.get_args(Kind)
        are_kinds = isinstance(self.kinds, tuple) and bool(self.kinds) and set(self.kinds) <= set(names)
        encoding.require(are_kinds, self, "kinds", f"a tuple of some of {', '.join(names)}")
        _require_outcome(self)


@dataclasses.dataclass(frozen=True)
class LargestContribution:
    """The largest silo's share of all that is contributed is at most so large.

    Attributes:
        maximum: Of the sum of positive contributions, in (0, 1].
        when_undecided: Outcome if contributions are not known.
    """

    maximum: float
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 < self.maximum <= 1, self, "maximum", "above 0 and at most 1")
        _require_outcome(self)


@dataclasses.dataclass(frozen=True)
class ShareSignificantlyHurt:
    """The share of silos that lose significantly by taking part, against their own models trained alone.

    The fewer rows silos have, the less is significant: a small share is no proof that few silos lose.

    Attributes:
        maximum: Greatest share that passes, from 0 to 1.
        when_undecided: Outcome if there are no local models, or no silo has enough rows.
    """

    maximum: float
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 <= self.maximum <= 1, self, "maximum", "from 0 to 1")
        _require_outcome(self)


Rule = NoFindings | LargestContribution | ShareSignificantlyHurt
ALTERNATIVES: tuple[type, ...] = typing.get_args(Rule)


def encode(rules: Sequence[Rule]) -> str:
    """Returns rules as JSON text, a list of `{"type": "LargestContribution", "maximum": 0.5}`.

    Raises:
        ValueError: One is no rule.
    """
    return encoding.encode_all(rules, ALTERNATIVES, "rules")


def decode(text: str) -> tuple[Rule, ...]:
    """Reads what `encode` returns. Fields with a default may be missing.

    Raises:
        ValueError: The text is no JSON list, or one of it is no rule; the message names the rule and the field.
    """
    return encoding.decode_all(text, ALTERNATIVES, "rules", '[{"type": "LargestContribution", "maximum": 0.5}]')


def _require_outcome(rule: Rule) -> None:
    encoding.require(rule.when_undecided in typing.get_args(Outcome), rule, "when_undecided", "'fail' or 'pass'")
