"""The gate: which rules a model must pass to be blessed, and whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfx_federated.fairness_evaluator import silo_table


@dataclass(frozen=True)
class Rule:
    """One rule, judged.

    Attributes:
        name: `minimum_overall`, `minimum_worst_silo` or `thresholds`.
        value: What was measured, or None if it cannot be.
        bound: The least value that passes, or None for the thresholds in the EvalConfig.
        passed: The verdict.
        reason: The verdict in words.
    """

    name: str
    value: float | None
    bound: float | None
    passed: bool
    reason: str


def judge_overall(table: silo_table.SiloTable, metric: str, bound: float) -> Rule:
    """Judges the metric over all rows; an undefined metric fails."""
    value = table.overall.value
    if value is None:
        return Rule("minimum_overall", None, bound, False, f"{metric} over all rows is undefined")
    passed = value >= bound
    return Rule("minimum_overall", value, bound, passed, f"{metric} over all rows is {_compared(value, bound)}")


def judge_worst_silo(table: silo_table.SiloTable, metric: str, bound: float, minimum_rows: int) -> Rule:
    """Judges the silo with the lowest metric among those of which something can be said; none at all fails.

    Args:
        table: The evaluation.
        metric: Name of the metric, for the reason.
        bound: The least value that passes.
        minimum_rows: Silos with fewer evaluated rows are left out, at least 1.
    """
    worst = worst_silo(table.silos, minimum_rows)
    if worst is None or worst.value is None:
        reason = f"no silo has {minimum_rows} evaluated rows and a defined {metric}, so that the rule cannot be decided"
        return Rule("minimum_worst_silo", None, bound, False, reason)
    passed = worst.value >= bound
    reason = f"{metric} of the worst silo, {worst.name!r}, is {_compared(worst.value, bound)}"
    return Rule("minimum_worst_silo", worst.value, bound, passed, reason)


def judge_thresholds(validation_ok: bool, failures: Sequence[str]) -> Rule:
    """Takes over TFMA's verdict on the thresholds in the EvalConfig.

    Args:
        validation_ok: TFMA's verdict.
        failures: What failed, in words.
    """
    reason = "all thresholds in eval_config hold"
    if not validation_ok:
        reason = "thresholds in eval_config fail: " + ("; ".join(failures) or "TFMA gives no detail")
    return Rule("thresholds", None, None, validation_ok, reason)


def worst_silo(silos: Sequence[silo_table.SliceMetrics], minimum_rows: int) -> silo_table.SliceMetrics | None:
    """Returns the silo with the lowest metric among those with enough rows (ties: the first name), or None."""
    return min(silo_table.enough(silos, minimum_rows), key=lambda silo: (silo.value, silo.name), default=None)


def blessed(rules: Sequence[Rule]) -> bool:
    """Returns whether the model is blessed: there is a rule, and every rule passes.

    Without a rule or a threshold nothing was asked of the model, and it is not blessed. TFX's Evaluator decides the
    same, "to avoid accidentally blessing models when users forget to set thresholds".
    """
    return bool(rules) and all(rule.passed for rule in rules)


def _compared(value: float, bound: float) -> str:
    # Rounded figures could read "0.7000, below 0.7000".
    digits = next((digits for digits in range(4, 17) if round(value, digits) != round(bound, digits)), 4)
    return f"{value:.{digits}f}, {'at or above' if value >= bound else 'below'} {bound:.{digits}f}"
