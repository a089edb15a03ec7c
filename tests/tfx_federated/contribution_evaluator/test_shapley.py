import itertools
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from tfx_federated.contribution_evaluator import shapley

PLAYERS = 4
utilities = arrays.arrays(np.float64, 2**PLAYERS, elements=strategies.floats(-10, 10, width=32))


def game(values):
    """Player p is in coalition c if bit p of c is set."""
    players = int(math.log2(len(values)))
    powers = 1 << np.arange(players)
    return shapley.RememberedGame(lambda coalitions: np.asarray(values)[coalitions @ powers], players)


def over_all_orders(values):
    players = int(math.log2(len(values)))
    totals = np.zeros(players)
    for order in itertools.permutations(range(players)):
        coalition = 0
        for player in order:
            totals[player] += values[coalition | 1 << player] - values[coalition]
            coalition |= 1 << player
    return totals / math.factorial(players)


@hypothesis.given(utilities)
def test_exact_values_are_the_mean_of_what_is_added_over_all_orders(values):
    estimate = shapley.exact(game(values))
    np.testing.assert_allclose(estimate.values, over_all_orders(values), atol=1e-9)
    assert not estimate.standard_errors.any()


@hypothesis.given(utilities)
def test_values_sum_to_what_all_players_have_over_nobody(values):
    assert shapley.exact(game(values)).values.sum() == pytest.approx(values[-1] - values[0], abs=1e-9)
    sampled = shapley.sampled(game(values), 2, np.random.default_rng(0))
    assert sampled.values.sum() == pytest.approx(values[-1] - values[0], abs=1e-9)


@hypothesis.given(utilities)
def test_players_that_can_change_places_have_the_same_value(values):
    swapped = [(c & ~3) | (c & 1) << 1 | (c & 2) >> 1 for c in range(2**PLAYERS)]
    found = shapley.exact(game((values + values[swapped]) / 2)).values
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@hypothesis.given(utilities)
def test_a_player_that_adds_nothing_has_no_value(values):
    without = [c & ~4 for c in range(2**PLAYERS)]
    assert shapley.exact(game(values[without])).values[2] == pytest.approx(0, abs=1e-12)


@hypothesis.given(utilities, utilities, strategies.floats(-3, 3))
def test_values_of_a_sum_of_games_are_the_sum_of_the_values(first, second, factor):
    together = shapley.exact(game(first + factor * second)).values
    apart = shapley.exact(game(first)).values + factor * shapley.exact(game(second)).values
    np.testing.assert_allclose(together, apart, atol=1e-8)


def test_sampled_values_are_as_close_to_the_exact_ones_as_their_errors_say():
    values = np.random.default_rng(3).normal(size=2**7)
    estimate = shapley.sampled(game(values), 400, np.random.default_rng(0))
    exact = shapley.exact(game(values)).values
    assert (np.abs(estimate.values - exact) < 4 * estimate.standard_errors).all()
    assert (estimate.standard_errors < 0.1).all()


def test_a_remembered_game_is_asked_for_a_coalition_once():
    asked = []

    def value(coalitions):
        asked.extend(map(tuple, coalitions.tolist()))
        return coalitions.sum(axis=1).astype(float)

    remembered = shapley.RememberedGame(value, 3)
    coalitions = np.array([[True, False, False], [True, True, True], [True, False, False]])
    assert remembered(coalitions).tolist() == [1, 3, 1]
    assert remembered.ends == (0, 3)
    assert len(asked) == len(set(asked)) == remembered.evaluations == 3


def test_one_player_has_all():
    assert shapley.exact(game(np.array([0.5, 0.75]))).values.tolist() == [0.25]


def test_too_many_players_for_exact_values_are_refused():
    with pytest.raises(ValueError, match="21 players have too many coalitions"):
        shapley.exact(shapley.RememberedGame(lambda coalitions: coalitions.sum(axis=1), 21))
