import math

import numpy as np
import pytest

from tff_runtime.privacy import accounting, budgets, poisson_batches
from tff_runtime.settings import cohorts, privacy


def samplings(**rows):
    return {silo: poisson_batches.sampling(count, batch_size=32, local_epochs=1) for silo, count in rows.items()}


def test_every_silo_spends_its_epsilon_in_the_planned_rounds_and_not_more():
    drawn = samplings(small=20, middle=100, large=1000)
    found = budgets.record_level(privacy.RecordLevel(2.0, 1e-5, epsilon_of_silo={"large": 0.5}), drawn, rounds=50)
    for silo, target in [("small", 2.0), ("middle", 2.0), ("large", 0.5)]:
        # As the rows are really drawn, not as the accountant rounds their probability up.
        real = accounting.RoundMechanism(
            drawn[silo].probability, drawn[silo].steps, found[silo].mechanism.noise_multiplier
        )
        assert 0.93 * target < accounting.epsilon(real.event(50), 1e-5) <= target


def test_silos_of_nearly_the_same_size_share_a_calibration():
    drawn = samplings(**{f"silo{rows}": rows for rows in range(1000, 1010)})
    found = budgets.record_level(privacy.RecordLevel(2.0, 1e-5), drawn, rounds=10)
    assert len({budget.mechanism for budget in found.values()}) <= 2
    for silo, budget in found.items():
        assert 1 <= budget.mechanism.sampling_probability / drawn[silo].probability < 1.0201


def test_a_small_silo_needs_more_noise():
    found = budgets.record_level(privacy.RecordLevel(2.0, 1e-5), samplings(small=40, large=4000), rounds=10)
    assert found["small"].mechanism.noise_multiplier > found["large"].mechanism.noise_multiplier


def test_a_delta_that_allows_to_publish_a_row_is_refused():
    with pytest.raises(ValueError, match=r"delta is 0\.01; it must be below 0\.01, as there are 100 rows of silo 'a'"):
        budgets.record_level(privacy.RecordLevel(2.0, 0.01), samplings(a=100), rounds=10)
    with pytest.raises(ValueError, match=r"delta is 0\.1; it must be below 0\.1, as there are 10 silos"):
        budgets.silo_level(privacy.SiloLevel(2.0, 0.1), [str(silo) for silo in range(10)], rounds=10)


def test_an_epsilon_for_an_unknown_silo_is_refused():
    with pytest.raises(ValueError, match="epsilon_of_silo names nobody"):
        budgets.record_level(privacy.RecordLevel(2.0, 1e-5, epsilon_of_silo={"nobody": 1.0}), samplings(a=9), rounds=1)


def test_silo_level_is_one_gaussian_a_round():
    found = budgets.silo_level(privacy.SiloLevel(2.0, 1e-5), ["a", "b"], rounds=16)
    assert found["a"] == found["b"]
    assert (found["a"].unit, found["a"].mechanism.sampling_probability, found["a"].mechanism.steps) == ("silo", 1.0, 1)
    once = budgets.silo_level(privacy.SiloLevel(2.0, 1e-5), ["a", "b"], rounds=1)
    ratio = found["a"].mechanism.noise_multiplier / once["a"].mechanism.noise_multiplier
    assert ratio == pytest.approx(math.sqrt(16), rel=5e-3)


def test_planned_rounds_follow_the_cohort():
    assert budgets.planned_rounds(cohorts.AllSilos(), rounds=100, silos=20) == 100
    assert budgets.planned_rounds(cohorts.SampleBySize(5), rounds=100, silos=20) == 100
    assert budgets.planned_rounds(cohorts.RoundRobin(5), rounds=100, silos=20) == 25
    assert budgets.planned_rounds(cohorts.RoundRobin(30), rounds=100, silos=20) == 100
    assert budgets.planned_rounds(cohorts.UniformSample(30), rounds=100, silos=20) == 100


def test_hardly_a_silo_is_sampled_more_often_than_planned():
    planned = budgets.planned_rounds(cohorts.UniformSample(10), rounds=200, silos=100)
    random, runs = np.random.default_rng(0), 300
    most = [
        np.bincount(np.concatenate([random.choice(100, 10, replace=False) for _ in range(200)])).max()
        for _ in range(runs)
    ]
    assert np.mean(np.array(most) > planned) <= 0.03
    assert np.mean(most) > 0.75 * planned, "not many more than are needed"
