import math

import hypothesis
import numpy as np
import pytest
from dp_accounting import rdp
from hypothesis import strategies
from scipy import integrate, optimize, stats

from tff_runtime.privacy import accounting


def mechanism(sampling_probability, noise_multiplier, steps=1):
    return accounting.RoundMechanism(sampling_probability, steps, noise_multiplier)


@pytest.mark.parametrize(
    ("sampling_probability", "noise_multiplier", "steps", "delta", "epsilon"),
    [
        # The tests of TensorFlow Privacy 0.9, compute_dp_sgd_privacy_test.py, as published.
        (150 / 60000, 1.3, 15 * 400, 1e-5, 0.7242234026109595),
        (100 / 100000, 1.0, 30 * 1000, 1e-7, 1.4154988495444845),
        (0.01, 0.7, 120, 1e-5, 3.2391922),
        (1.0, 0.7, 2, 1e-5, 10.8602036),
    ],
)
def test_renyi_epsilon_is_the_published_one(sampling_probability, noise_multiplier, steps, delta, epsilon):
    event = mechanism(sampling_probability, noise_multiplier, steps).event(rounds=1)
    assert accounting.epsilon_by_renyi(event, delta) == pytest.approx(epsilon, abs=1e-6)


@pytest.mark.parametrize(("sampling_probability", "steps", "epsilon"), [(0.01, 120, 2.4612381), (1.0, 2, 10.1224946)])
def test_epsilon_is_the_published_one(sampling_probability, steps, epsilon):
    event = mechanism(sampling_probability, 0.7, steps).event(rounds=1)
    assert accounting.epsilon(event, delta=1e-5) == pytest.approx(epsilon, abs=1e-6)


def test_the_tutorial_of_tensorflow_privacy_is_reproduced():
    # MNIST: 60 epochs of batches of 256 with noise 1.1; epsilon 3.01 by the conversion of Mironov (arXiv 1702.07476,
    # proposition 3), which today's dp-accounting improves on, and privacy loss distributions on that.
    event = mechanism(256 / 60000, 1.1, steps=235).event(rounds=60)
    orders = np.array([1 + x / 10 for x in range(1, 100)] + list(range(11, 64)))
    curve = rdp.RdpAccountant(orders).compose(event).rdp
    assert np.min(curve + math.log(1e5) / (orders - 1)) == pytest.approx(3.01, abs=0.01)
    assert accounting.epsilon(event, 1e-5) < accounting.epsilon_by_renyi(event, 1e-5) < 3.01


def exact_gaussian_epsilon(noise_multiplier, delta):
    """Balle and Wang, arXiv 1805.06530, theorem 8."""

    def excess(epsilon):
        first = stats.norm.cdf(0.5 / noise_multiplier - epsilon * noise_multiplier)
        second = stats.norm.cdf(-0.5 / noise_multiplier - epsilon * noise_multiplier)
        return first - math.exp(epsilon) * second - delta

    return optimize.brentq(excess, 0, 100)


@pytest.mark.parametrize(("noise_multiplier", "rounds"), [(1.0, 1), (4.0, 10), (30.0, 100)])
def test_full_batches_cost_what_one_gaussian_with_less_noise_costs(noise_multiplier, rounds):
    exact = exact_gaussian_epsilon(noise_multiplier / math.sqrt(rounds), delta=1e-5)
    epsilon = accounting.epsilon(mechanism(1.0, noise_multiplier).event(rounds), delta=1e-5)
    assert exact - 1e-9 <= epsilon <= exact + 1e-4


@pytest.mark.parametrize(("sampling_probability", "noise_multiplier"), [(0.1, 0.6), (0.5, 1.0), (0.9, 2.0)])
def test_a_sampled_step_costs_what_the_definition_says(sampling_probability, noise_multiplier):
    epsilon = accounting.epsilon(mechanism(sampling_probability, noise_multiplier).event(rounds=1), delta=1e-3)

    def absent(x):
        return stats.norm.pdf(x, scale=noise_multiplier)

    def present(x):
        sampled = stats.norm.pdf(x, loc=1, scale=noise_multiplier)
        return (1 - sampling_probability) * absent(x) + sampling_probability * sampled

    def delta(first, second):
        return integrate.quad(lambda x: max(0, first(x) - math.exp(epsilon) * second(x)), -30, 30, limit=1000)[0]

    assert max(delta(present, absent), delta(absent, present)) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("sampling_probability", "noise_multiplier"), [(0.01, 0.8), (0.01, 8.0), (0.2, 2.0), (1.0, 8.0), (1.0, 30.0)]
)
def test_renyi_bounds_it_from_above(sampling_probability, noise_multiplier):
    event = mechanism(sampling_probability, noise_multiplier, steps=10).event(rounds=20)
    assert accounting.epsilon(event, 1e-5) <= accounting.epsilon_by_renyi(event, 1e-5)


@hypothesis.settings(deadline=None, max_examples=10)
@hypothesis.given(
    sampling_probability=strategies.floats(0.01, 1.0),
    noise_multiplier=strategies.floats(0.8, 20.0),
    rounds=strategies.integers(1, 50),
)
def test_more_rounds_or_rows_or_less_noise_cost_more(sampling_probability, noise_multiplier, rounds):
    def epsilon(sampling_probability, noise_multiplier, rounds):
        event = mechanism(sampling_probability, noise_multiplier, steps=2).event(rounds)
        return accounting.epsilon(event, delta=1e-6, interval=1e-3)

    # The rounding of the privacy loss may differ by as much.
    middle, tolerance = epsilon(sampling_probability, noise_multiplier, rounds), 2e-3
    assert middle <= epsilon(sampling_probability, noise_multiplier, rounds + 1) + tolerance
    assert middle <= epsilon(sampling_probability, noise_multiplier / 1.5, rounds) + tolerance
    assert middle <= epsilon(min(1.0, 1.5 * sampling_probability), noise_multiplier, rounds) + tolerance


@pytest.mark.parametrize("target", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(("sampling_probability", "steps", "rounds"), [(0.02, 50, 20), (0.5, 2, 100), (1.0, 1, 300)])
def test_the_noise_is_as_small_as_the_target_allows(target, sampling_probability, steps, rounds):
    multiplier = accounting.noise_multiplier(target, 1e-6, sampling_probability, steps, rounds)
    event = mechanism(sampling_probability, multiplier, steps).event(rounds)
    assert accounting.epsilon(event, 1e-6) <= target
    less_noise = mechanism(sampling_probability, 0.98 * multiplier, steps).event(rounds)
    assert accounting.epsilon(less_noise, 1e-6) > target


def test_full_batches_need_the_noise_that_the_formula_says():
    multiplier = accounting.noise_multiplier(3.0, 1e-5, 1.0, steps=4, rounds=25)
    assert exact_gaussian_epsilon(multiplier / 10, delta=1e-5) == pytest.approx(3.0, rel=0.005)


def test_rounds_of_two_mechanisms_compose():
    first, second = mechanism(1.0, 3.0), mechanism(1.0, 4.0)
    together = accounting.epsilon_of_rounds({first: 1, second: 1}, target_epsilon=2.0, delta=1e-5)
    assert together == pytest.approx(exact_gaussian_epsilon((3**-2 + 4**-2) ** -0.5, 1e-5), rel=1e-2)
    assert accounting.epsilon_of_rounds({}, target_epsilon=2.0, delta=1e-5) == 0
