import numpy as np
import pytest

from tfx_federated.statistics import parity


def test_of_many_rows_the_gap_is_the_observed_one():
    gap = parity.largest_gap([300_000, 500_000, 450_000], [1_000_000] * 3)
    assert gap.observed == pytest.approx(0.2)
    assert gap.corrected == pytest.approx(0.2, abs=0.001)
    # Two standard errors of a difference: 1.96 * sqrt((0.21 + 0.25) / 1e6).
    assert (gap.upper - gap.lower) / 2 == pytest.approx(0.00133, rel=0.1)


def simulated(seed, silos, deviation, weighted):
    """The true gap of silos with 200 rows each, and the found one."""
    generator = np.random.default_rng(seed)
    rates = np.clip(generator.normal(0.7, deviation, silos), 0, 1)
    weights = generator.exponential(size=(silos, 200)) if weighted else np.ones((silos, 200))
    right = generator.random(weights.shape) < rates[:, None]
    found = parity.largest_gap((weights * right).sum(1), weights.sum(1), (weights**2).sum(1), draws=300, seed=seed)
    return np.ptp(rates), found


@pytest.mark.parametrize(("silos", "deviation"), [(30, 0.05), (30, 0.01), (8, 0.1)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gap_is_held_as_often_as_it_says_and_corrected_for_noise(silos, deviation, weighted):
    runs = [simulated(seed, silos, deviation, weighted) for seed in range(200)]
    observed = np.mean([found.observed - truth for truth, found in runs])
    corrected = np.mean([found.corrected - truth for truth, found in runs])
    assert observed > 0.008
    assert abs(corrected) < 0.5 * observed
    assert 0.88 < np.mean([found.lower <= truth <= found.upper for truth, found in runs]) <= 0.99


def test_of_equal_silos_the_gap_may_be_almost_none():
    runs = [simulated(seed, 30, 0.0, False)[1] for seed in range(100)]
    assert np.mean([found.observed for found in runs]) > 0.12
    assert np.mean([found.corrected for found in runs]) < 0.06
    assert np.mean([found.lower for found in runs]) < 0.01


def test_the_gap_of_one_silo_is_none():
    gap = parity.largest_gap([5], [10])
    assert (gap.observed, gap.corrected, gap.lower, gap.upper) == (0, 0, 0, 0)


def test_the_gap_is_at_most_1():
    assert parity.largest_gap([0, 3], [3, 3]).upper <= 1


@pytest.mark.parametrize(
    ("successes", "trials", "message"),
    [
        ([], [], "values holds no silo"),
        ([1, 0], [2, 0], "1 silos have no trial"),
        ([3], [2], "1 silos have more successes than trials"),
    ],
)
def test_silos_without_a_rate_are_refused(successes, trials, message):
    with pytest.raises(ValueError, match=message):
        parity.largest_gap(successes, trials)
