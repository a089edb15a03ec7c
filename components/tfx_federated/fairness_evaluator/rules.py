"""What a model must fulfil to be blessed: the rules of the gate.

A bound is on the metric itself, `WorstSilo(0.6)`, or a rule goes around it: `Change(WorstSilo(-0.01))` bounds the
difference to the baseline, `ConfidenceBound(WorstSilo(0.6))` asks for the bound with confidence. Only the standard
library is imported, so that a pipeline definition and the Kubeflow compiler can read the rules; `gate` judges them.

Silos with too few rows, or with an undefined metric, take part in no rule. Every rule declares what holds where it
cannot be decided: `when_undecided` is "fail", or "pass". The first model of a pipeline has no baseline: rules that
compare with one are undecided for it, and only "pass" lets it through.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Sequence
from typing import Any, Literal

from tff_runtime.settings import encoding

Outcome = Literal["fail", "pass"]
Compared = Literal["baseline", "local_models", "silo_models"]
Rate = Literal["true_positive_rate", "positive_rate"]


@dataclasses.dataclass(frozen=True)
class Overall:
    """The metric over all rows, those without a silo included.

    Attributes:
        bound: Least value that passes; the greatest, for a metric of which lower is better. Finite.
        when_undecided: Outcome if the metric is undefined.
    """

    bound: float
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _require_number(self, "bound")
        _require_one_of(self, "when_undecided", Outcome)


@dataclasses.dataclass(frozen=True)
class WorstSilo:
    """The metric of the worst silo.

    Attributes:
        bound: Least value that passes; the greatest, for a metric of which lower is better. Finite.
        when_undecided: Outcome if no silo has enough rows.
    """

    bound: float
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _require_number(self, "bound")
        _require_one_of(self, "when_undecided", Outcome)


@dataclasses.dataclass(frozen=True)
class WorstDecile:
    """The mean of the metric over the worst tenth of the silos; below ten silos that is the worst one.

    Attributes:
        bound: Least value that passes; the greatest, for a metric of which lower is better. Finite.
        when_undecided: Outcome if no silo has enough rows.
    """

    bound: float
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _require_number(self, "bound")
        _require_one_of(self, "when_undecided", Outcome)


@dataclasses.dataclass(frozen=True)
class LargestGap:
    """The difference of the metric between the best and the worst silo, as observed.

    Few rows make silos look different. Among many small silos the observed gap is large even for a model that treats
    all alike.

    Attributes:
        maximum: Greatest difference that passes, at least 0.
        when_undecided: Outcome if fewer than two silos have enough rows.
    """

    maximum: float
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _require_number(self, "maximum", least=0)
        _require_one_of(self, "when_undecided", Outcome)


OfMetric = Overall | WorstSilo | WorstDecile | LargestGap


@dataclasses.dataclass(frozen=True)
class ParityGap:
    """The difference of a rate of positive predictions between two silos, as observed.

    Attributes:
        rate: "true_positive_rate" for equal opportunity (Hardt et al., arXiv 1610.02413, definition 2.2),
            "positive_rate" for demographic parity (Dwork et al., arXiv 1104.3913, section 3); the silo is the group.
        maximum: Greatest difference that passes, from 0 to 1.
        when_undecided: Outcome if the rate is undefined, as for labels that are not all 0 or 1, or too few silos have
            enough rows.
    """

    rate: Rate
    maximum: float
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _require_one_of(self, "rate", Rate)
        _require_number(self, "maximum", least=0, greatest=1)
        _require_one_of(self, "when_undecided", Outcome)


@dataclasses.dataclass(frozen=True)
class Change:
    """The difference to the baseline: the candidate's value less the baseline's, each of its own worst silo or decile.

    Attributes:
        rule: What is compared. Its bound is on the difference: -0.01 lets the metric fall by 0.01. For a metric of
            which lower is better, and for a gap, 0.01 lets it rise by 0.01. Its `when_undecided` also holds without a
            baseline.
    """

    rule: OfMetric

    def __post_init__(self) -> None:
        """Checks the inner rule."""
        _require_rule(self, typing.get_args(OfMetric))

    @property
    def when_undecided(self) -> Outcome:
        """Outcome if the rule cannot be decided."""
        return self.rule.when_undecided


@dataclasses.dataclass(frozen=True)
class ConfidenceBound:
    """The pessimistic end of the evaluation's confidence interval, instead of the observed value.

    Around `WorstSilo` it is the worst of all silos' bounds: every silo is shown to reach the bound, each at the
    confidence of one (intersection-union test: Berger, Technometrics 24 (1982), 295-300, theorem 1). A gap has no such
    rule, as no bootstrap is right for the extremes of resampled silos.

    Attributes:
        rule: What is bounded. Its `when_undecided` also holds where there is no interval.
    """

    rule: Overall | WorstSilo | WorstDecile

    def __post_init__(self) -> None:
        """Checks the inner rule."""
        _require_rule(self, (Overall, WorstSilo, WorstDecile))

    @property
    def when_undecided(self) -> Outcome:
        """Outcome if the rule cannot be decided."""
        return self.rule.when_undecided


@dataclasses.dataclass(frozen=True)
class ShareSignificantlyHurt:
    """The share of silos that are significantly worse off than with another model, on the same rows.

    The fewer rows the silos have, the less is significant: a small share is no proof that few silos are hurt.

    Attributes:
        maximum: Greatest share that passes, from 0 to 1.
        compared: The other model.
        false_discovery_rate: Share of silos wrongly called hurt among those called so, on average (Benjamini and
            Hochberg, JRSS B 57 (1995), 289-300), in (0, 1).
        when_undecided: Outcome if the other model is not given, or no silo has enough rows.
    """

    maximum: float
    compared: Compared = "baseline"
    false_discovery_rate: float = 0.05
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _require_number(self, "maximum", least=0, greatest=1)
        _require_one_of(self, "compared", Compared)
        _require_number(self, "false_discovery_rate")
        encoding.require(0 < self.false_discovery_rate < 1, self, "false_discovery_rate", "between 0 and 1")
        _require_one_of(self, "when_undecided", Outcome)


@dataclasses.dataclass(frozen=True)
class NoSiloWorse:
    """No silo is worse off than with another model by more than a margin (non-inferiority), on the same rows.

    It passes if that is shown for each silo, and fails if the opposite is shown for one; `non_inferiority.judge_all`
    has the tests. Everything else is undecided: "pass" asks for proof of harm, "fail" for proof of its absence.

    Attributes:
        margin: Loss of the metric that does not matter, at least 0.
        compared: The other model.
        silos: Names of the silos. Each must have enough rows, or the rule cannot pass by itself. Empty for all silos
            that have enough.
        confidence: Of each claim, one-sided, in (0.5, 1).
        when_undecided: Outcome if the rows show neither, or the other model or a named silo is missing.
    """

    margin: float
    compared: Compared = "baseline"
    silos: tuple[str, ...] = ()
    confidence: float = 0.95
    when_undecided: Outcome = "fail"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        _require_number(self, "margin", least=0)
        _require_one_of(self, "compared", Compared)
        are_names = isinstance(self.silos, tuple) and all(isinstance(silo, str) for silo in self.silos)
        encoding.require(are_names, self, "silos", "a tuple of names; () stands for all silos")
        _require_number(self, "confidence")
        encoding.require(0.5 < self.confidence < 1, self, "confidence", "between 0.5 and 1")
        _require_one_of(self, "when_undecided", Outcome)


Rule = (
    Overall
    | WorstSilo
    | WorstDecile
    | LargestGap
    | ParityGap
    | Change
    | ConfidenceBound
    | ShareSignificantlyHurt
    | NoSiloWorse
)

ALTERNATIVES: tuple[type, ...] = typing.get_args(Rule)


def encode(rules: Sequence[Rule]) -> str:
    """Returns rules as JSON text, a list of `{"type": "WorstSilo", "bound": 0.6, "when_undecided": "fail"}`.

    Raises:
        ValueError: One is no rule.
    """
    return encoding.encode_all(rules, ALTERNATIVES, "rules")


def decode(text: str) -> tuple[Rule, ...]:
    """Reads what `encode` returns. Fields with a default may be missing.

    Raises:
        ValueError: The text is no JSON list, or one of it is no rule; the message names the rule and the field.
    """
    return encoding.decode_all(text, ALTERNATIVES, "rules", _EXAMPLE)


_EXAMPLE = '[{"type": "WorstSilo", "bound": 0.6}]'


def _require_number(rule: Any, field: str, least: float = -math.inf, greatest: float = math.inf) -> None:
    value = getattr(rule, field)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    ends = (f"at least {least}", least), (f"at most {greatest}", greatest)
    requirement = ", ".join(["a finite number", *(words for words, end in ends if math.isfinite(end))])
    encoding.require(is_number and least <= value <= greatest, rule, field, requirement)


def _require_one_of(rule: Any, field: str, choices: Any) -> None:
    names = typing.get_args(choices)
    encoding.require(getattr(rule, field) in names, rule, field, " or ".join(repr(name) for name in names))


def _require_rule(rule: Any, alternatives: Sequence[type]) -> None:
    encoding.require(isinstance(rule.rule, tuple(alternatives)), rule, "rule", f"one of {_names(alternatives)}")


def _names(alternatives: Sequence[type]) -> str:
    return ", ".join(alternative.__name__ for alternative in alternatives)
