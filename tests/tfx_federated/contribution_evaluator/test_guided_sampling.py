import dataclasses
import itertools

import numpy as np
import pytest

from tests.tfx_federated.contribution_evaluator import test_shapley
from tfx_federated.contribution_evaluator import guided_sampling, shapley

LIMITS = guided_sampling.Limits(
    truncation=0.0, relative_error=0.02, minimum_permutations=30, maximum_evaluations=10_000
)


@pytest.fixture
def saturating():
    """Players add less and less: the utility is concave in the sum of their weights."""
    weights = np.array([5.0, 3.0, 2.0, 1.0, 1.0, 0.5, 0.2, 0.1, 0.0, 0.7, 1.5, 2.5])
    return shapley.RememberedGame(lambda coalitions: 1 - np.exp(-(coalitions @ weights) / 5), 12)


def test_players_take_turns_in_coming_first():
    orders = list(itertools.islice(guided_sampling.guided_orders(5, np.random.default_rng(0)), 10))
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert sorted(order[0] for order in orders[:5]) == sorted(order[0] for order in orders[5:]) == [0, 1, 2, 3, 4]


def test_without_truncation_an_order_adds_what_it_adds_plainly(saturating):
    orders = np.stack(list(itertools.islice(guided_sampling.guided_orders(12, np.random.default_rng(0)), 12)))
    found = guided_sampling.truncated_marginals(saturating, orders, 0.0)
    np.testing.assert_allclose(found, shapley.marginals(saturating, orders), atol=1e-12)


def test_what_comes_after_truncation_adds_nothing():
    game = test_shapley.game(np.array([0.0, 0.995, 0.5, 1.0]))
    orders = np.array([[0, 1], [1, 0]])
    assert guided_sampling.truncated_marginals(game, orders, 0.01).tolist() == [[0.995, 0.0], [0.5, 0.5]]


def test_values_come_near_the_exact_ones(saturating):
    estimate = guided_sampling.estimate(saturating, LIMITS, np.random.default_rng(1))
    assert saturating.evaluations < 2**12
    exact = shapley.exact(saturating).values
    assert (np.abs(estimate.values - exact) <= 4 * estimate.standard_errors + 1e-12).all()
    assert estimate.standard_errors.mean() <= LIMITS.relative_error * np.abs(estimate.values).mean()
    assert estimate.values.sum() == pytest.approx(exact.sum())


def test_values_are_exact_once_all_coalitions_are_known():
    game = test_shapley.game(np.random.default_rng(0).normal(size=16))
    estimate = guided_sampling.estimate(game, LIMITS, np.random.default_rng(0))
    np.testing.assert_allclose(estimate.values, shapley.exact(game).values, atol=1e-12)
    assert not estimate.standard_errors.any()


def test_sampling_ends_with_the_budget():
    generator = np.random.default_rng(0)
    game = shapley.RememberedGame(lambda coalitions: generator.normal(size=len(coalitions)), 12)
    limits = dataclasses.replace(LIMITS, maximum_evaluations=300)
    guided_sampling.estimate(game, limits, np.random.default_rng(0))
    assert 300 <= game.evaluations <= 300 + 16 * 12


def test_a_game_in_which_nothing_is_won_has_zeros():
    game = shapley.RememberedGame(lambda coalitions: np.full(len(coalitions), 0.5), 3)
    estimate = guided_sampling.estimate(game, LIMITS, np.random.default_rng(0))
    assert (estimate.values.tolist(), estimate.standard_errors.tolist()) == ([0, 0, 0], [0, 0, 0])
