"""The gate: whether a model fulfils the rules, and so is blessed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfx_federated.fairness_evaluator import rules as rules_lib
from tfx_federated.fairness_evaluator import silo_table
from tfx_federated.statistics import (
    arrays,
    bootstrap,
    discoveries,
    dispersion,
    non_inferiority,
    paired,
)
from tfx_federated.statistics import evidence as evidence_lib

Verdict = Literal["passed", "failed", "undecided"]

_BASELINE = "baseline"

# Significant digits of a value in a reason. Seventeen tell any two doubles apart.
_DIGITS = range(6, 18)
_NAMES_IN_REASON = 5

_UNDEFINED = "it is undefined"
_NO_SILO = "no silo has enough rows and a defined metric"
_ONE_SILO = "fewer than two silos have enough rows and a defined metric"
_NO_OTHER_MODEL = {
    _BASELINE: "there is no baseline model, as for the first model of a pipeline",
    "local_models": "there are no local models",
    "silo_models": "there are no silo models",
}


@dataclass(frozen=True)
class Judgement:
    """One rule, judged.

    Attributes:
        rule: Name of the rule's class, or `thresholds` for those in the EvalConfig.
        text: What the rule asks for, in words.
        value: What was measured, or None if it cannot be.
        bound: What the value is held against, or None for the thresholds in the EvalConfig.
        verdict: What the rows show.
        passed: The outcome: that of the verdict, or for an undecided rule the declared one.
        reason: The verdict in words.
    """

    rule: str
    text: str
    value: float | None
    bound: float | None
    verdict: Verdict
    passed: bool
    reason: str


def judge(
    table: silo_table.SiloTable, rules: Sequence[rules_lib.Rule], parity: Mapping[str, bootstrap.Estimate]
) -> list[Judgement]:
    """Judges every rule, in the given order.

    Args:
        table: The evaluation.
        rules: What is asked of the candidate.
        parity: Largest gap between two silos by rate, `true_positive_rate` and `positive_rate`; without those that are
            undefined.

    Raises:
        TypeError: One is no rule.
    """
    return [_judge(rule, table, parity) for rule in rules]


def judge_thresholds(validation_ok: bool, failures: Sequence[str]) -> Judgement:
    """Takes over TFMA's verdict on the thresholds in the EvalConfig.

    Args:
        validation_ok: TFMA's verdict.
        failures: What failed, in words.
    """
    text = reason = "all thresholds in eval_config hold"
    if not validation_ok:
        reason = "thresholds in eval_config fail: " + ("; ".join(failures) or "TFMA gives no detail")
    return Judgement("thresholds", text, None, None, "passed" if validation_ok else "failed", validation_ok, reason)


def blessed(judgements: Sequence[Judgement]) -> bool:
    """Returns whether the model is blessed: there is a rule, and every rule passes.

    Without a rule or a threshold nothing was asked of the model, and it is not blessed. TFX's Evaluator decides the
    same, "to avoid accidentally blessing models when users forget to set thresholds".
    """
    return bool(judgements) and all(judgement.passed for judgement in judgements)


@dataclass(frozen=True)
class _Measured:
    """A value, and words for it.

    Attributes:
        subject: What was measured.
        value: NaN if it cannot be.
        missing: Why it cannot be.
        where: What belongs behind the subject, such as the silo's name.
    """

    subject: str
    value: float
    missing: str
    where: str = ""


def _judge(rule: rules_lib.Rule, table: silo_table.SiloTable, parity: Mapping[str, bootstrap.Estimate]) -> Judgement:
    match rule:
        case rules_lib.Overall() | rules_lib.WorstSilo() | rules_lib.WorstDecile() | rules_lib.LargestGap():
            return _against_bound(rule, rule, _observed(rule, table), table.scale)
        case rules_lib.Change():
            return _against_bound(rule, rule.rule, _change(rule.rule, table), table.scale)
        case rules_lib.ConfidenceBound():
            return _against_bound(rule, rule.rule, _confidence_bound(rule.rule, table), table.scale)
        case rules_lib.ParityGap():
            return _against_bound(rule, rule, _parity_gap(rule, parity), table.scale)
        case rules_lib.ShareSignificantlyHurt():
            return _against_bound(rule, rule, _share_significantly_hurt(rule, table), table.scale)
        case rules_lib.NoSiloWorse():
            return _no_silo_worse(rule, table)
    names = ", ".join(alternative.__name__ for alternative in rules_lib.ALTERNATIVES)
    raise TypeError(f"rule is {rule!r}; it must be one of {names}")


def _against_bound(
    rule: rules_lib.Rule,
    bounded: rules_lib.OfMetric | rules_lib.ParityGap | rules_lib.ShareSignificantlyHurt,
    measured: _Measured,
    scale: dispersion.Scale,
) -> Judgement:
    if isinstance(bounded, (rules_lib.Overall, rules_lib.WorstSilo, rules_lib.WorstDecile)):
        bound, at_least = bounded.bound, scale.higher_is_better
    else:
        bound, at_least = bounded.maximum, False
    text = f"{measured.subject} is {'at least' if at_least else 'at most'} {bound}"
    if math.isnan(measured.value):
        reason = f"{measured.subject} cannot be judged: {measured.missing}"
        return _judgement(rule, text, None, bound, "undecided", reason)
    passed = measured.value >= bound if at_least else measured.value <= bound
    side = "at" if measured.value == bound else "above" if measured.value > bound else "below"
    reason = f"{measured.subject}{measured.where} is {_rounded(measured.value, bound)}, {side} {bound}"
    return _judgement(rule, text, measured.value, bound, "passed" if passed else "failed", reason)


def _judgement(
    rule: rules_lib.Rule, text: str, value: float | None, bound: float, verdict: Verdict, reason: str
) -> Judgement:
    passed = verdict == "passed"
    if verdict == "undecided":
        passed = rule.when_undecided == "pass"
        reason = f"{reason}; the rule {'passes' if passed else 'fails'}, as its when_undecided says"
    return Judgement(type(rule).__name__, text, value, bound, verdict, passed, reason)


def _observed(rule: rules_lib.OfMetric, table: silo_table.SiloTable) -> _Measured:
    subject = _subject(rule, table)
    match rule:
        case rules_lib.Overall():
            return _Measured(subject, table.overall.values[silo_table.CANDIDATE], _UNDEFINED)
        case rules_lib.WorstSilo():
            return _worst(subject, table, table.values[silo_table.CANDIDATE])
        case rules_lib.WorstDecile():
            return _Measured(subject, _across_silos(table, "worst_decile").observed, _NO_SILO)
        case rules_lib.LargestGap():
            return _largest_gap(subject, table)


def _worst(subject: str, table: silo_table.SiloTable, values: arrays.Vector) -> _Measured:
    silos = np.flatnonzero(table.claimed & ~np.isnan(values))
    if not len(silos):
        return _Measured(subject, math.nan, _NO_SILO)
    worst = silos[values[silos].argmin() if table.scale.higher_is_better else values[silos].argmax()]
    return _Measured(subject, float(values[worst]), _NO_SILO, f", {table.names[worst]!r},")


def _largest_gap(subject: str, table: silo_table.SiloTable) -> _Measured:
    values = table.values[silo_table.CANDIDATE]
    silos = np.flatnonzero(table.claimed & ~np.isnan(values))
    if len(silos) < 2:
        return _Measured(subject, math.nan, _ONE_SILO)
    lowest, highest = (table.names[silos[place]] for place in (values[silos].argmin(), values[silos].argmax()))
    gap = _across_silos(table, "largest_gap").observed
    return _Measured(subject, gap, _ONE_SILO, f", {lowest!r} and {highest!r},")


def _change(rule: rules_lib.OfMetric, table: silo_table.SiloTable) -> _Measured:
    subject = f"the change of {_subject(rule, table)} against the baseline"
    if _BASELINE not in table.values:
        return _Measured(subject, math.nan, _NO_OTHER_MODEL[_BASELINE])
    candidate, baseline, missing = _candidate_and_baseline(rule, table)
    return _Measured(subject, candidate - baseline, missing, f", from {baseline:.6g} to {candidate:.6g},")


def _candidate_and_baseline(rule: rules_lib.OfMetric, table: silo_table.SiloTable) -> tuple[float, float, str]:
    if isinstance(rule, rules_lib.Overall):
        return table.overall.values[silo_table.CANDIDATE], table.overall.values[_BASELINE], _UNDEFINED
    values = np.stack([table.values[silo_table.CANDIDATE], table.values[_BASELINE]])
    values = values[:, table.claimed & ~np.isnan(values).any(0)]
    least, missing = (2, _ONE_SILO) if isinstance(rule, rules_lib.LargestGap) else (1, _NO_SILO)
    if values.shape[1] < least:
        return math.nan, math.nan, missing
    match rule:
        case rules_lib.WorstSilo():
            candidate, baseline = dispersion.worst_share(values, 0.0, table.scale)
        case rules_lib.WorstDecile():
            candidate, baseline = dispersion.worst_share(values, dispersion.DECILE, table.scale)
        case rules_lib.LargestGap():
            candidate, baseline = dispersion.largest_gap(values)
    return float(candidate), float(baseline), missing


def _confidence_bound(
    rule: rules_lib.Overall | rules_lib.WorstSilo | rules_lib.WorstDecile, table: silo_table.SiloTable
) -> _Measured:
    end = "lower" if table.scale.higher_is_better else "upper"
    subject = f"the {end} end of the {table.intervals.confidence:g} confidence interval of {_subject(rule, table)}"
    match rule:
        case rules_lib.Overall():
            return _Measured(subject, getattr(table.overall, end), "there is no interval")
        case rules_lib.WorstSilo():
            return _worst(subject, table, getattr(table.intervals, end))
        case rules_lib.WorstDecile():
            return _Measured(subject, getattr(_across_silos(table, "worst_decile"), end), _NO_SILO)


def _subject(rule: rules_lib.OfMetric, table: silo_table.SiloTable) -> str:
    match rule:
        case rules_lib.Overall():
            return f"{table.metric} over all rows"
        case rules_lib.WorstSilo():
            return f"{table.metric} of the worst silo"
        case rules_lib.WorstDecile():
            return f"{table.metric} of the worst tenth of the silos"
        case rules_lib.LargestGap():
            return f"the largest gap of {table.metric} between two silos"


def _across_silos(table: silo_table.SiloTable, statistic: str) -> bootstrap.Estimate:
    return table.across_silos.get(statistic, bootstrap.Estimate(math.nan, math.nan, math.nan, math.nan))


def _parity_gap(rule: rules_lib.ParityGap, parity: Mapping[str, bootstrap.Estimate]) -> _Measured:
    subject = f"the largest gap of the {rule.rate.replace('_', ' ')} between two silos"
    gap = parity[rule.rate].observed if rule.rate in parity else math.nan
    return _Measured(subject, gap, "the rate is undefined, or too few silos have enough rows")


def _share_significantly_hurt(rule: rules_lib.ShareSignificantlyHurt, table: silo_table.SiloTable) -> _Measured:
    subject = (
        f"the share of silos that are significantly hurt against {_other_model(rule)} (false discovery rate "
        f"{rule.false_discovery_rate:g})"
    )
    if rule.compared not in table.gains:
        return _Measured(subject, math.nan, _NO_OTHER_MODEL[rule.compared])
    gains = table.gains[rule.compared]
    silos = int(np.count_nonzero(gains.evidence == evidence_lib.Evidence.ENOUGH))
    if not silos:
        return _Measured(subject, math.nan, _NO_SILO)
    hurt = np.flatnonzero(discoveries.discover(gains.p_hurt, rule.false_discovery_rate).found)
    return _Measured(subject, len(hurt) / silos, _NO_SILO, f", {len(hurt)} of {silos}{_listed(table, hurt)},")


def _no_silo_worse(rule: rules_lib.NoSiloWorse, table: silo_table.SiloTable) -> Judgement:
    wanted, bound = set(rule.silos), 0.0 - rule.margin
    named = np.array([place for place, name in enumerate(table.names) if name in wanted], np.int64)
    among = f"none of {len(wanted)} named silos{_listed(table, named)}" if wanted else "no silo"
    worse = f"worse than with {_other_model(rule)} by more than {rule.margin}"
    text = f"{table.metric} of {among} is {worse} (confidence {rule.confidence:g})"
    if rule.compared not in table.gains:
        return _judgement(rule, text, None, bound, "undecided", _NO_OTHER_MODEL[rule.compared])
    every = table.gains[rule.compared]
    silos = named if wanted else np.flatnonzero(every.evidence == evidence_lib.Evidence.ENOUGH)
    gains = paired.Gains(*(getattr(every, field.name)[silos] for field in dataclasses.fields(every)))
    decision = non_inferiority.judge_all(gains, rule.margin, rule.when_undecided, rule.confidence)
    # The lower end of this two-sided interval is the one-sided bound at the rule's confidence.
    lower = gains.intervals(2 * rule.confidence - 1).lower
    least = float(np.nanmin(lower)) if np.isfinite(lower).any() else None
    if decision.count(non_inferiority.Verdict.INFERIOR):
        return _judgement(rule, text, least, bound, "failed", _shown(table, silos, decision, worse))
    if absent := len(wanted) - len(named):
        reason = f"{absent} of {len(wanted)} named silos are not published: no rows, or fewer than the privacy minimum"
        return _judgement(rule, text, least, bound, "undecided", reason)
    verdict: Verdict = "passed" if decision.decided else "undecided"
    return _judgement(rule, text, least, bound, verdict, _shown(table, silos, decision, worse))


def _shown(table: silo_table.SiloTable, silos: arrays.IntVector, decision: non_inferiority.Decision, worse: str) -> str:
    if not len(silos):
        return _NO_SILO
    inferior, undecided = (
        silos[decision.verdicts == verdict]
        for verdict in (non_inferiority.Verdict.INFERIOR, non_inferiority.Verdict.UNDECIDED)
    )
    if len(inferior):
        return (
            f"{table.metric} of {len(inferior)} of {len(silos)} silos{_listed(table, inferior)} is shown to be {worse}"
        )
    if len(undecided):
        of_silos = f"{len(undecided)} of {len(silos)} silos{_listed(table, undecided)}"
        return f"the rows of {of_silos} do not show whether {table.metric} is {worse}"
    return f"{table.metric} of each of {len(silos)} silos is shown not to be {worse}"


def _other_model(rule: rules_lib.NoSiloWorse | rules_lib.ShareSignificantlyHurt) -> str:
    return f"the {rule.compared.replace('_', ' ')}"


def _listed(table: silo_table.SiloTable, silos: arrays.IntVector) -> str:
    if not len(silos):
        return ""
    names = ", ".join(repr(table.names[silo]) for silo in silos[:_NAMES_IN_REASON])
    more = len(silos) - _NAMES_IN_REASON
    return f" ({names} and {more} more)" if more > 0 else f" ({names})"


def _rounded(value: float, bound: float) -> str:
    # As few digits as leave the value on its side of the bound: "0.7, below 0.7" would puzzle.
    texts = (f"{value:.{digits}g}" for digits in _DIGITS)
    return next(text for text in texts if np.sign(float(text) - bound) == np.sign(value - bound))
