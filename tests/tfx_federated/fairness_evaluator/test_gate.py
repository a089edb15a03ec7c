import dataclasses
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tfx_federated.fairness_evaluator import gate, rules, silo_table
from tfx_federated.statistics import bootstrap, dispersion, intervals, paired
from tfx_federated.statistics.evidence import Evidence

METRICS = st.floats(0, 1).map(lambda value: round(value, 2))
Z = stats.norm.ppf(0.95)


def table(silos, too_few=(), overall=0.8, baseline=None, overall_baseline=None, gains=None, **changes):
    """A table of silos by name; their intervals reach 0.1 to each side, and those across silos 0.02."""
    names, values = tuple(silos), np.array(list(silos.values()), float)
    evidence = np.where([name in too_few for name in names], Evidence.TOO_FEW_ROWS, Evidence.ENOUGH).astype(np.int8)
    evidence[np.isnan(values)] = Evidence.UNDEFINED
    reach = np.where(evidence == Evidence.ENOUGH, 0.1, np.nan)
    by_model, overalls = {"candidate": values}, {"candidate": overall}
    if baseline is not None:
        by_model["baseline"], overalls["baseline"] = np.array(baseline, float), overall_baseline
    scale = changes.pop("scale", dispersion.Scale())
    claimed = values[evidence == Evidence.ENOUGH]
    across = dispersion.summary(claimed, np.full(len(claimed), 100), scale) if len(claimed) else {}
    return silo_table.SiloTable(
        metric="auc",
        scale=scale,
        names=names,
        pooled=0,
        rows=np.full(len(names), 100),
        positives=None,
        values=by_model,
        intervals=intervals.Intervals(values, values - reach, values + reach, evidence, 0.95),
        gains=gains or {},
        overall=silo_table.Overall(100 * len(names), None, overalls, overall - 0.05, overall + 0.05),
        across_silos={
            name: bootstrap.Estimate(float(value), float(value), value - 0.02, value + 0.02)
            for name, value in across.items()
        },
        worst=None,
        **changes,
    )


def gains_of(gain, standard_error, enough=None):
    """Normal gains with the given standard errors."""
    gain, error = np.array(gain, float), np.array(standard_error, float)
    codes = np.zeros(len(gain), np.int8) if enough is None else np.where(enough, 0, 1).astype(np.int8)
    degrees = np.full(len(gain), np.inf)
    p_hurt = stats.norm.cdf(gain / error)
    return paired.Gains(gain, gain, error, degrees, p_hurt, 1 - p_hurt, codes).claimed(codes)


def judged(rule, on, parity=None):
    (judgement,) = gate.judge(on, [rule], parity or {})
    return judgement


LOSS = dispersion.LOSS
SILOS = {"AA": 0.7, "B6": 0.9, "UA": 0.6, "tiny": 0.1}
TABLE = table(SILOS, too_few=["tiny"])


def test_a_metric_at_the_bound_passes_and_below_fails():
    assert judged(rules.Overall(0.8), TABLE) == gate.Judgement(
        "Overall",
        "auc over all rows is at least 0.8",
        0.8,
        0.8,
        "passed",
        True,
        "auc over all rows is 0.8, at 0.8",
    )
    above = judged(rules.Overall(0.81), TABLE)
    assert (above.verdict, above.passed) == ("failed", False)
    assert above.reason == "auc over all rows is 0.8, below 0.81"


def test_of_a_loss_the_bound_is_the_greatest_value():
    losses = table(SILOS, too_few=["tiny"], scale=LOSS)
    assert judged(rules.Overall(0.8), losses).passed
    assert judged(rules.Overall(0.8), losses).text == "auc over all rows is at most 0.8"
    assert not judged(rules.Overall(0.79), losses).passed
    worst = judged(rules.WorstSilo(0.89), losses)
    assert worst.reason == "auc of the worst silo, 'B6', is 0.9, above 0.89"
    assert not worst.passed
    pessimistic = judged(rules.ConfidenceBound(rules.WorstSilo(0.95)), losses)
    assert pessimistic.value == pytest.approx(1.0)
    assert not pessimistic.passed


def test_the_worst_silo_is_the_worst_with_enough_rows():
    judgement = judged(rules.WorstSilo(0.6), TABLE)
    assert (judgement.value, judgement.passed) == (0.6, True)
    assert judgement.reason == "auc of the worst silo, 'UA', is 0.6, at 0.6"


def test_of_equally_bad_silos_the_first_is_named():
    assert "'a'" in judged(rules.WorstSilo(0.6), table({"a": 0.5, "b": 0.5})).reason


def test_a_name_cannot_break_out_of_the_reason():
    assert r"'a\n\'b\'" in judged(rules.WorstSilo(0.6), table({"a\n'b'\"": 0.5})).reason


def test_the_worst_decile_of_twenty_silos_is_the_mean_of_the_two_worst():
    silos = {f"{number:02}": 0.9 for number in range(18)} | {"x": 0.5, "y": 0.6}
    judgement = judged(rules.WorstDecile(0.56), table(silos))
    assert judgement.value == pytest.approx(0.55)
    assert judgement.verdict == "failed"
    assert judged(rules.WorstDecile(0.54), table(silos)).passed


def test_with_confidence_the_pessimistic_ends_must_reach_the_bound():
    overall = judged(rules.ConfidenceBound(rules.Overall(0.7)), TABLE)
    assert overall.value == pytest.approx(0.75)
    assert overall.passed
    assert "the lower end of the 0.95 confidence interval of auc over all rows" in overall.text
    silo = judged(rules.ConfidenceBound(rules.WorstSilo(0.55)), TABLE)
    assert silo.value == pytest.approx(0.5)
    assert "'UA'" in silo.reason
    assert not silo.passed
    decile = judged(rules.ConfidenceBound(rules.WorstDecile(0.59)), TABLE)
    assert decile.value == pytest.approx(0.58)
    assert not decile.passed


def test_the_silo_with_the_worst_interval_need_not_be_the_worst():
    wide = dataclasses.replace(
        TABLE, intervals=dataclasses.replace(TABLE.intervals, lower=np.array([0.3, 0.8, 0.5, 0]))
    )
    assert "'AA', is 0.3" in judged(rules.ConfidenceBound(rules.WorstSilo(0.55)), wide).reason


def test_a_gap_is_between_silos_with_enough_rows():
    judgement = judged(rules.LargestGap(0.25), TABLE)
    assert judgement.value == pytest.approx(0.3)
    assert judgement.reason == "the largest gap of auc between two silos, 'UA' and 'B6', is 0.3, above 0.25"
    assert not judgement.passed
    assert judged(rules.LargestGap(0.31), TABLE).passed


def test_one_silo_has_no_gap():
    judgement = judged(rules.LargestGap(1), table({"a": 0.5, "b": 0.9}, too_few=["b"]))
    assert (judgement.verdict, judgement.value) == ("undecided", None)
    assert "fewer than two silos" in judgement.reason


def test_a_gap_of_rates_is_judged_where_the_rate_is_defined():
    parity = {"true_positive_rate": bootstrap.Estimate(0.2, 0.1, 0.05, 0.15)}
    assert judged(rules.ParityGap("true_positive_rate", 0.2), TABLE, parity).passed
    failed = judged(rules.ParityGap("true_positive_rate", 0.19), TABLE, parity)
    assert failed.reason == "the largest gap of the true positive rate between two silos is 0.2, above 0.19"
    assert judged(rules.ParityGap("positive_rate", 1), TABLE, parity).verdict == "undecided"


def test_a_change_compares_each_models_own_worst_silo():
    changed = table({"a": 0.6, "b": 0.9}, baseline=[0.8, 0.65], overall=0.8, overall_baseline=0.79)
    judgement = judged(rules.Change(rules.WorstSilo(-0.04)), changed)
    assert judgement.value == pytest.approx(-0.05)
    assert (judgement.rule, judgement.bound, judgement.verdict) == ("Change", -0.04, "failed")
    assert judgement.reason == (
        "the change of auc of the worst silo against the baseline, from 0.65 to 0.6, is -0.05, below -0.04"
    )
    assert judged(rules.Change(rules.WorstSilo(-0.06)), changed).passed
    assert judged(rules.Change(rules.Overall(0.005)), changed).passed
    assert not judged(rules.Change(rules.Overall(0.02)), changed).passed
    assert judged(rules.Change(rules.LargestGap(0.16)), changed).passed
    assert judged(rules.Change(rules.LargestGap(0.14)), changed).value == pytest.approx(0.15)
    assert not judged(rules.Change(rules.LargestGap(0.14)), changed).passed


def test_the_change_of_a_loss_may_not_be_above_its_bound():
    losses = table({"a": 0.6, "b": 0.9}, baseline=[0.6, 0.8], overall=0.8, overall_baseline=0.7, scale=LOSS)
    assert not judged(rules.Change(rules.WorstSilo(0.09)), losses).passed
    assert judged(rules.Change(rules.WorstSilo(0.11)), losses).passed
    assert not judged(rules.Change(rules.Overall(0.0)), losses).passed


def test_the_change_of_the_worst_decile_is_of_both_models_deciles():
    silos = {f"{number:02}": 0.9 for number in range(18)} | {"x": 0.5, "y": 0.6}
    judgement = judged(rules.Change(rules.WorstDecile(0)), table(silos, baseline=[0.4, 0.6] + [0.9] * 18))
    assert judgement.value == pytest.approx(0.55 - 0.5)
    assert judgement.passed


def test_a_silo_that_only_one_model_has_a_metric_for_takes_no_part_in_a_change():
    changed = table({"a": 0.6, "b": 0.9}, baseline=[math.nan, 0.8], overall_baseline=0.8)
    assert judged(rules.Change(rules.WorstSilo(0)), changed).value == pytest.approx(0.1)
    assert judged(rules.Change(rules.LargestGap(1)), changed).verdict == "undecided"


@pytest.mark.parametrize(
    "make",
    [
        lambda outcome: rules.Change(rules.Overall(-1, outcome)),
        lambda outcome: rules.Change(rules.WorstSilo(-1, outcome)),
        lambda outcome: rules.NoSiloWorse(0.1, when_undecided=outcome),
        lambda outcome: rules.ShareSignificantlyHurt(1, when_undecided=outcome),
    ],
)
def test_the_first_model_of_a_pipeline_has_no_baseline_and_the_declared_outcome(make):
    failed, passed = judged(make("fail"), TABLE), judged(make("pass"), TABLE)
    assert [failed.verdict, passed.verdict] == ["undecided", "undecided"]
    assert [failed.passed, passed.passed] == [False, True]
    assert "there is no baseline model, as for the first model of a pipeline; the rule fails" in failed.reason
    assert "the rule passes, as its when_undecided says" in passed.reason


@pytest.mark.parametrize(
    "rule",
    [
        rules.WorstSilo(0),
        rules.WorstDecile(0),
        rules.ConfidenceBound(rules.WorstSilo(0)),
        rules.ConfidenceBound(rules.WorstDecile(0)),
        rules.LargestGap(1),
        rules.Change(rules.WorstDecile(-1)),
        rules.ShareSignificantlyHurt(1),
        rules.NoSiloWorse(1),
    ],
)
def test_without_a_silo_with_enough_rows_not_even_the_loosest_bound_passes(rule):
    gains = {"baseline": gains_of([0.1, 0.1], [0.01, 0.01], enough=[False, False])}
    nothing = table({"a": 0.9, "b": 0.9}, too_few=["a", "b"], baseline=[0.5, 0.5], overall_baseline=0.5, gains=gains)
    judgement = judged(rule, nothing)
    assert (judgement.verdict, judgement.passed, judgement.value) == ("undecided", False, None)


def test_an_undefined_overall_metric_is_undecided():
    undefined = table(SILOS, overall=math.nan)
    judgement = judged(rules.Overall(0.0), undefined)
    assert (judgement.verdict, judgement.passed, judgement.value) == ("undecided", False, None)
    assert judged(rules.ConfidenceBound(rules.Overall(0.0, "pass")), undefined).passed
    changed = table(SILOS, baseline=[0.5] * 4, overall_baseline=math.nan)
    assert "undefined" in judged(rules.Change(rules.Overall(-1)), changed).reason


def test_the_share_of_significantly_hurt_silos_is_of_those_with_enough_rows():
    # One-sided p-values 1e-9, 0.02, 0.5, 0.16; at a rate of 0.05 the limits of Benjamini and Hochberg are 0.0125,
    # 0.025, 0.0375, 0.05: the first two are discoveries.
    gain, enough = [-6.0, -2.054, 0.0, -1.0, -9.0], [True] * 4 + [False]
    silos = dict.fromkeys("abcde", 0.7)
    hurt = table(silos, gains={"silo_models": gains_of(gain, [1.0] * 5, enough)})
    judgement = judged(rules.ShareSignificantlyHurt(0.4, "silo_models"), hurt)
    assert judgement.value == 0.5
    assert "2 of 4 ('a', 'b'), is 0.5, above 0.4" in judgement.reason
    assert "the silo models" in judgement.text
    assert not judgement.passed
    assert judged(rules.ShareSignificantlyHurt(0.5, "silo_models"), hurt).passed
    assert judged(rules.ShareSignificantlyHurt(0.25, "silo_models", false_discovery_rate=0.01), hurt).passed
    assert "no local models" in judged(rules.ShareSignificantlyHurt(1, "local_models"), hurt).reason


def test_many_silos_are_named_by_the_first_few():
    silos = {f"{number:02}": 0.7 for number in range(8)}
    hurt = table(silos, gains={"baseline": gains_of([-9] * 8, [1] * 8)})
    assert "8 of 8 ('00', '01', '02', '03', '04' and 3 more)" in judged(rules.ShareSignificantlyHurt(0), hurt).reason


WORSE = table(
    dict.fromkeys(["good", "hurt", "unclear", "tiny"], 0.7),
    gains={"baseline": gains_of([0.0, -0.2, -0.05, -0.3], [0.01, 0.01, 0.05, 0.01], [True, True, True, False])},
)


def test_a_silo_that_is_shown_to_be_worse_fails_the_rule_whatever_is_declared():
    judgement = judged(rules.NoSiloWorse(0.1, when_undecided="pass"), WORSE)
    assert (judgement.verdict, judgement.passed, judgement.bound) == ("failed", False, -0.1)
    assert judgement.value == pytest.approx(-0.2 - Z * 0.01)
    assert judgement.reason == (
        "auc of 1 of 3 silos ('hurt') is shown to be worse than with the baseline by more than 0.1"
    )


def test_a_named_silo_that_is_shown_to_be_no_worse_passes():
    judgement = judged(rules.NoSiloWorse(0.1, silos=("good",)), WORSE)
    assert (judgement.verdict, judgement.passed) == ("passed", True)
    assert judgement.value == pytest.approx(-Z * 0.01)
    assert judgement.text == (
        "auc of none of 1 named silos ('good') is worse than with the baseline by more than 0.1 (confidence 0.95)"
    )


@pytest.mark.parametrize("silo", ["unclear", "tiny"])
def test_a_named_silo_of_which_the_rows_show_nothing_is_undecided(silo):
    judgement = judged(rules.NoSiloWorse(0.1, silos=("good", silo)), WORSE)
    assert (judgement.verdict, judgement.passed) == ("undecided", False)
    assert f"1 of 2 silos ('{silo}') do not show whether" in judgement.reason
    declared = judged(rules.NoSiloWorse(0.1, silos=("good", silo), when_undecided="pass"), WORSE)
    assert (declared.verdict, declared.passed) == ("undecided", True)


def test_a_named_silo_that_is_not_published_stays_unnamed_and_undecided():
    judgement = judged(rules.NoSiloWorse(0.1, silos=("good", "secret")), WORSE)
    assert judgement.verdict == "undecided"
    assert "1 of 2 named silos are not published" in judgement.reason
    assert "secret" not in judgement.reason + judgement.text
    assert judged(rules.NoSiloWorse(0.1, silos=("hurt", "secret")), WORSE).verdict == "failed"


def test_thresholds_of_tfma_take_part():
    assert gate.judge_thresholds(True, []).passed
    failed = gate.judge_thresholds(False, ["auc on all rows"])
    assert (failed.verdict, failed.passed) == ("failed", False)
    assert "auc on all rows" in failed.reason


def test_blessed_needs_a_rule_and_all_of_them():
    passing = gate.judge_thresholds(True, [])
    failing = gate.judge_thresholds(False, [])
    assert gate.blessed([passing, passing])
    assert not gate.blessed([passing, failing])
    assert not gate.blessed([])


def test_judgements_keep_the_order_of_the_rules():
    judgements = gate.judge(TABLE, [rules.WorstSilo(0.9), rules.Overall(0.5)], {})
    assert [(judgement.rule, judgement.passed) for judgement in judgements] == [("WorstSilo", False), ("Overall", True)]


def test_what_is_no_rule_is_refused():
    with pytest.raises(TypeError, match=r"rule is 0\.6; it must be one of Overall, WorstSilo"):
        gate.judge(TABLE, [0.6], {})


@given(st.lists(st.tuples(METRICS, st.booleans()), max_size=8), METRICS, st.booleans())
def test_the_worst_silo_passes_exactly_when_some_silo_counts_and_all_that_count_reach_the_bound(silos, bound, loss):
    on = table(
        {str(number): value for number, (value, _) in enumerate(silos)},
        too_few=[str(number) for number, (_, enough) in enumerate(silos) if not enough],
        scale=LOSS if loss else dispersion.Scale(),
    )
    counted = [value for value, enough in silos if enough]
    expected = bool(counted) and all(value <= bound if loss else value >= bound for value in counted)
    assert judged(rules.WorstSilo(bound), on).passed == expected


@given(st.lists(st.tuples(METRICS, METRICS), min_size=1, max_size=9), st.floats(-1, 1))
def test_a_change_passes_exactly_when_no_worst_silo_falls_by_more(silos, bound):
    candidate, baseline = zip(*silos, strict=True)
    on = table(dict(zip("abcdefghi", candidate, strict=False)), baseline=baseline, overall_baseline=0.8)
    expected = min(candidate) - min(baseline) >= bound
    assert judged(rules.Change(rules.WorstSilo(bound)), on).passed == expected
    # Below ten silos the worst decile is the worst silo.
    assert judged(rules.Change(rules.WorstDecile(bound)), on).passed == expected


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 1)), min_size=1, max_size=6),
    st.floats(0, 0.5),
    st.floats(0.6, 0.99),
)
def test_no_silo_worse_asks_for_proof_of_harm_or_for_proof_of_its_absence(silos, margin, confidence):
    gain, error = (np.array(part) for part in zip(*silos, strict=True))
    p_worse, p_no_worse = stats.norm.cdf((gain + margin) / error), stats.norm.sf((gain + margin) / error)
    limits = (1 - confidence) * np.arange(1, len(gain) + 1) / len(gain)
    assume(np.abs(np.sort(p_worse) - limits).min() > 1e-6)
    assume(np.abs(p_no_worse - (1 - confidence)).min() > 1e-6)
    on = table(dict.fromkeys("abcdef"[: len(gain)], 0.7), gains={"baseline": gains_of(gain, error)})
    proof_of_harm = judged(rules.NoSiloWorse(margin, confidence=confidence, when_undecided="pass"), on)
    proof_of_absence = judged(rules.NoSiloWorse(margin, confidence=confidence, when_undecided="fail"), on)
    assert proof_of_harm.passed == (np.sort(p_worse) > limits).all()
    assert proof_of_absence.passed == (p_no_worse < 1 - confidence).all()
    assert proof_of_absence.passed == (proof_of_absence.value > -margin)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_the_reason_shows_enough_digits_to_see_the_difference(value, bound):
    reason = judged(rules.Overall(bound), table(SILOS, overall=value)).reason
    shown, side = reason.removeprefix("auc over all rows is ").removesuffix(f" {bound}").split(", ")
    assert side == ("at" if value == bound else "above" if value > bound else "below")
    assert (float(shown) > bound, float(shown) < bound) == (value > bound, value < bound)
