"""The gate: whether a training fulfils the rules on contributions, and so its model is blessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfx_federated.contribution_evaluator import balance, evaluation, rules
from tfx_federated.statistics import evidence as evidence_lib

_NAMES = 5


@dataclass(frozen=True)
class Judgement:
    """One rule, judged.

    Attributes:
        rule: Name of the rule's class.
        passed: The outcome.
        observed: What was measured; None if it cannot be.
        limit: What it is held against.
        reason: In words.
    """

    rule: str
    passed: bool
    observed: float | None
    limit: float
    reason: str


def judge(found: evaluation.Evaluation, asked: Sequence[rules.Rule]) -> list[Judgement]:
    """Judges every rule, in the given order.

    Args:
        found: What is known of the training.
        asked: The rules.
    """
    return [_judge(rule, found) for rule in asked]


def blessed(judgements: Sequence[Judgement]) -> bool:
    """Returns whether there is a rule, and every rule passes; without one nothing was asked, as in TFX's Evaluator."""
    return bool(judgements) and all(judgement.passed for judgement in judgements)


def _judge(rule: rules.Rule, found: evaluation.Evaluation) -> Judgement:
    match rule:
        case rules.NoFindings():
            return _no_findings(rule, found)
        case rules.LargestContribution():
            return _largest_contribution(rule, found)
        case rules.ShareSignificantlyHurt():
            return _share_hurt(rule, found)


def _no_findings(rule: rules.NoFindings, found: evaluation.Evaluation) -> Judgement:
    if found.detection is None:
        return _undecided(rule, 0, "the ledger tells nothing of single silos")
    silos = sorted({finding.silo for finding in found.detection.findings if finding.kind in rule.kinds})
    kinds = " or ".join(kind.replace("_", " ") for kind in rule.kinds)
    reason = f"the detectors found {len(silos)} silos for {kinds}{_listed(silos)}"
    return Judgement(type(rule).__name__, not silos, len(silos), 0, reason)


def _largest_contribution(rule: rules.LargestContribution, found: evaluation.Evaluation) -> Judgement:
    if found.contribution is None:
        return _undecided(rule, rule.maximum, "contributions could not be computed")
    shares = balance.positive_shares(found.contribution.values)
    if not np.isfinite(shares).any():
        return _undecided(rule, rule.maximum, "no silo contributed anything")
    largest = int(np.nanargmax(shares))
    share = float(shares[largest])
    reason = f"silo {found.ledger.silos[largest]!r} has {share:.3g} of what is contributed; at most {rule.maximum:g}"
    return Judgement(type(rule).__name__, share <= rule.maximum, share, rule.maximum, reason)


def _share_hurt(rule: rules.ShareSignificantlyHurt, found: evaluation.Evaluation) -> Judgement:
    for comparison in found.comparisons:
        if comparison.baseline == evaluation.LOCAL and comparison.over_silos is not None:
            silos = int((comparison.gains.evidence == evidence_lib.Evidence.ENOUGH).sum())
            places = np.flatnonzero(comparison.over_silos.significantly_hurt).tolist()
            names = [found.rows.silos[place] for place in places]
            reason = f"{len(names)} of {silos} silos lose significantly by taking part{_listed(names)}"
            share = len(names) / silos
            return Judgement(type(rule).__name__, share <= rule.maximum, share, rule.maximum, reason)
    return _undecided(rule, rule.maximum, "there are no local models, or no silo has enough held-out rows")


def _undecided(rule: rules.Rule, limit: float, why: str) -> Judgement:
    passed = rule.when_undecided == "pass"
    reason = f"{why}; the rule {'passes' if passed else 'fails'}, as its when_undecided says"
    return Judgement(type(rule).__name__, passed, None, limit, reason)


def _listed(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f" ({', '.join(repr(name) for name in names[:_NAMES])}{more})"
