import numpy as np
import pytest
from scipy import stats

from tfx_federated.statistics import benefit, paired
from tfx_federated.statistics.evidence import Evidence


def gains_of(differences):
    """Gains of silos from the differences of their rows, [silos, rows]."""
    rows = np.full(len(differences), differences.shape[1])
    return paired.of_losses(rows, differences.sum(1), (differences**2).sum(1))


def simulated(generator, true_gains, rows=60, noise=0.5):
    return gains_of(true_gains[:, None] + noise * generator.normal(size=(len(true_gains), rows)))


def test_silos_are_counted_by_the_sign_of_their_gain_and_by_what_is_shown():
    spread = np.tile([-0.1, 0.1], 20)
    gains = gains_of(np.array([[1.0], [-1.0], [0.001], [-0.001], [0.0]]) + spread)
    found = benefit.of_gains(gains, replicates=10)
    assert found.silos == 5
    assert found.helped.tolist() == [True, False, True, False, False]
    assert found.hurt.tolist() == [False, True, False, True, False]
    assert found.significantly_helped.tolist() == [True, False, False, False, False]
    assert found.significantly_hurt.tolist() == [False, True, False, False, False]


def test_silos_without_enough_evidence_do_not_count():
    gains = gains_of(np.array([[1.0], [1.0], [-9.0]]) + np.tile([-0.1, 0.1], 20))
    codes = np.array([Evidence.ENOUGH, Evidence.ENOUGH, Evidence.TOO_FEW_ROWS], np.int8)
    found = benefit.of_gains(gains.claimed(codes), replicates=10)
    assert found.silos == 2
    assert not found.hurt.any()
    assert not found.significantly_hurt.any()
    assert found.mean_gain.observed == pytest.approx(1)


def test_the_standard_deviation_is_that_of_the_true_gains():
    # Row noise alone has a standard deviation of 0.5 / sqrt(60) = 0.065, half of the true one.
    generator = np.random.default_rng(9)
    gains = simulated(generator, generator.normal(0, 0.03, 3000))
    found = benefit.of_gains(gains, replicates=10)
    assert gains.gain.std() == pytest.approx(np.hypot(0.03, 0.5 / np.sqrt(60)), rel=0.05)
    assert found.standard_deviation == pytest.approx(0.03, rel=0.15)


def test_gains_of_noise_alone_have_no_standard_deviation_to_speak_of():
    found = benefit.of_gains(simulated(np.random.default_rng(10), np.zeros(3000)), replicates=10)
    assert found.standard_deviation < 0.02
    assert found.significantly_hurt.mean() < 0.001


def test_the_interval_of_the_mean_is_about_students_over_silos():
    generator = np.random.default_rng(11)
    gains = simulated(generator, generator.normal(0.1, 0.2, 100))
    found = benefit.of_gains(gains, replicates=4000).mean_gain
    expected = stats.ttest_1samp(gains.gain, 0).confidence_interval()
    assert found.observed == pytest.approx(gains.gain.mean())
    assert (found.lower, found.upper) == (
        pytest.approx(expected.low, abs=0.005),
        pytest.approx(expected.high, abs=0.005),
    )


def test_the_interval_of_the_mean_holds_it_as_often_as_it_says():
    held = []
    for seed in range(300):
        generator = np.random.default_rng(seed)
        gains = simulated(generator, generator.normal(0.1, 0.1, 40))
        found = benefit.of_gains(gains, replicates=300, confidence=0.9).mean_gain
        held.append(found.lower <= 0.1 <= found.upper)
    assert np.mean(held) == pytest.approx(0.9, abs=0.05)


def test_significant_silos_are_false_as_seldom_as_the_rate_allows():
    generator = np.random.default_rng(12)
    true_gains = np.repeat([0.0, -0.3, 0.3], [2000, 500, 500])
    found = benefit.of_gains(simulated(generator, true_gains), false_discovery_rate=0.1, replicates=1)
    for significant, wrong in (
        (found.significantly_hurt, true_gains >= 0),
        (found.significantly_helped, true_gains <= 0),
    ):
        assert significant.sum() > 400
        assert 0.03 < (significant & wrong).sum() / significant.sum() < 0.12


def test_a_model_gains_nothing_over_itself():
    found = benefit.of_gains(gains_of(np.zeros((5, 50))), replicates=10)
    assert (found.mean_gain.observed, found.mean_gain.lower, found.mean_gain.upper) == (0, 0, 0)
    assert found.standard_deviation == 0
    assert not (found.helped | found.hurt | found.significantly_helped | found.significantly_hurt).any()


def test_silos_without_any_evidence_have_no_benefit():
    with pytest.raises(ValueError, match="none of 2 silos has enough rows"):
        benefit.of_gains(gains_of(np.zeros((2, 1))))
