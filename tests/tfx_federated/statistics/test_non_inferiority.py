import numpy as np
import pytest
from scipy import stats

from tfx_federated.statistics import non_inferiority, paired
from tfx_federated.statistics.evidence import Evidence
from tfx_federated.statistics.non_inferiority import Verdict

Z = stats.norm.ppf(0.95)


def gains_of(gain, error=0.1):
    gain = np.array(gain, float)
    error = np.broadcast_to(error, gain.shape).astype(float)
    p_hurt = stats.norm.cdf(gain / error)
    codes = np.zeros(len(gain), np.int8)
    return paired.Gains(gain, gain, error, np.full(len(gain), np.inf), p_hurt, 1 - p_hurt, codes)


def test_silos_are_non_inferior_as_long_as_their_lower_bounds_are_above_the_margin():
    just = 0.1 * Z - 0.02
    assert non_inferiority.judge_all(gains_of([just + 1e-6]), 0.02, "fail").passed
    decision = non_inferiority.judge_all(gains_of([just - 1e-6]), 0.02, "fail")
    assert (decision.passed, decision.decided) == (False, False)
    assert decision.verdicts.tolist() == [Verdict.UNDECIDED]


def test_a_silo_is_inferior_as_soon_as_its_upper_bound_is_below_the_margin():
    just = -0.02 - 0.1 * Z
    decision = non_inferiority.judge_all(gains_of([just - 1e-6]), 0.02, "pass")
    assert (decision.passed, decision.decided) == (False, True)
    assert decision.verdicts.tolist() == [Verdict.INFERIOR]
    assert non_inferiority.judge_all(gains_of([just + 1e-6]), 0.02, "pass").passed


def test_one_silo_that_shows_nothing_leaves_it_to_the_declared_outcome():
    gains = gains_of([1, 1, 0])
    for outcome in ("pass", "fail"):
        decision = non_inferiority.judge_all(gains, 0.02, outcome)
        assert (decision.passed, decision.decided) == (outcome == "pass", False)
    assert (decision.count(Verdict.NON_INFERIOR), decision.count(Verdict.UNDECIDED)) == (2, 1)


def test_among_many_silos_more_proof_of_harm_is_asked_for():
    # A p-value of 0.03: below 0.05 for one silo, but not below 0.05 / 20 for the least of twenty.
    hurt = 0.1 * stats.norm.ppf(0.03)
    assert not non_inferiority.judge_all(gains_of([hurt]), 0.0, "pass").passed
    assert non_inferiority.judge_all(gains_of([hurt] + [1.0] * 19), 0.0, "pass").passed


def test_equal_models_are_judged_inferior_as_seldom_as_the_confidence_says():
    generator = np.random.default_rng(14)
    passed = [
        non_inferiority.judge_all(gains_of(generator.normal(0, 0.1, 20)), 0.0, "pass").passed for _ in range(1000)
    ]
    assert np.mean(passed) == pytest.approx(0.95, abs=0.02)


def test_a_silo_without_enough_evidence_shows_nothing():
    gains = gains_of([1, -1]).claimed(np.array([Evidence.ENOUGH, Evidence.TOO_FEW_ROWS], np.int8))
    decision = non_inferiority.judge_all(gains, 0.0, "fail")
    assert decision.verdicts.tolist() == [Verdict.NON_INFERIOR, Verdict.UNDECIDED]
    assert not decision.decided


@pytest.mark.parametrize("outcome", ["pass", "fail"])
def test_without_silos_nothing_is_decided(outcome):
    decision = non_inferiority.judge_all(gains_of([]), 0.0, outcome)
    assert (decision.passed, decision.decided) == (outcome == "pass", False)


@pytest.mark.parametrize(
    ("margin", "confidence", "message"),
    [(-0.1, 0.95, "margin is -0.1"), (np.inf, 0.95, "margin is inf"), (0.1, 0.5, "confidence is 0.5")],
)
def test_arguments_out_of_range_are_refused(margin, confidence, message):
    with pytest.raises(ValueError, match=message):
        non_inferiority.judge_all(gains_of([0]), margin, "fail", confidence)
