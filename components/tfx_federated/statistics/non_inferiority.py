"""Whether a candidate is no worse than a baseline by more than a margin in any silo."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfx_federated.statistics import arrays, discoveries, paired
from tfx_federated.statistics import evidence as evidence_lib

Outcome = Literal["pass", "fail"]


class Verdict(enum.IntEnum):
    """What the rows show about a silo; vectors hold the codes as int8.

    UNDECIDED: they show neither, or there are too few of them.
    """

    NON_INFERIOR = 0
    INFERIOR = 1
    UNDECIDED = 2


@dataclass(frozen=True)
class Decision:
    """The verdict on all silos.

    Attributes:
        passed: Whether the rule passes.
        decided: False if `passed` is the declared outcome for what cannot be decided.
        verdicts: Codes of `Verdict`, [silos].
    """

    passed: bool
    decided: bool
    verdicts: npt.NDArray[np.int8]

    def count(self, verdict: Verdict) -> int:
        """Returns the number of silos with this verdict."""
        return int(np.count_nonzero(self.verdicts == verdict))


def judge_all(gains: paired.Gains, margin: float, when_undecided: Outcome, confidence: float = 0.95) -> Decision:
    """Judges the claim that no silo is worse off by more than the margin.

    A silo is non-inferior if the one-sided lower confidence bound of its gain is above -margin, and inferior if the
    upper one is below.

    It fails if any silo is shown to be inferior. Among many silos some look inferior by chance, so that this is tested
    with the false discovery rate controlled: if all silos are non-inferior, the rule fails with a probability of at
    most 1 - confidence. It passes if every silo is shown to be non-inferior. Each at the given confidence is enough
    for that, without a correction, as one silo alone can spoil it (intersection-union test); many small silos seldom
    all show it. Everything else cannot be decided.

    Source: Piaggio et al., CONSORT extension for non-inferiority trials, JAMA 308 (2012), 2594-2604, Figure 1 (bounds);
    Benjamini and Hochberg, JRSS B 57 (1995), 289-300, Section 2.1 (with no true discovery the rate is the
    probability of any); Berger, Technometrics 24 (1982), 295-300, Theorem 1.

    Args:
        gains: Of the candidate over the baseline.
        margin: Loss of the metric that does not matter, at least 0.
        when_undecided: Outcome if no silo is shown to be inferior, but not all to be non-inferior. "pass" asks for
            proof of harm, "fail" for proof of its absence.
        confidence: Of each claim, one-sided, in (0.5, 1).

    Raises:
        ValueError: An argument is out of its range.
    """
    _require_range(margin, confidence)
    inferior = discoveries.discover(gains.p_below(-margin), 1 - confidence).found
    verdicts = _verdicts(gains, gains.p_above(-margin) < 1 - confidence, inferior)
    if (verdicts == Verdict.INFERIOR).any():
        return Decision(passed=False, decided=True, verdicts=verdicts)
    decided = bool(len(verdicts)) and bool((verdicts == Verdict.NON_INFERIOR).all())
    return Decision(passed=decided or when_undecided == "pass", decided=decided, verdicts=verdicts)


def _verdicts(gains: paired.Gains, non_inferior: arrays.Mask, inferior: arrays.Mask) -> npt.NDArray[np.int8]:
    codes = np.where(non_inferior, Verdict.NON_INFERIOR, np.where(inferior, Verdict.INFERIOR, Verdict.UNDECIDED))
    return np.where(gains.evidence == evidence_lib.Evidence.ENOUGH, codes, Verdict.UNDECIDED).astype(np.int8)


def _require_range(margin: float, confidence: float) -> None:
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin is {margin}; it must be a finite number, at least 0")
    if not 0.5 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must be between 0.5 and 1")
