import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from benchmarks.free_riders import populations, retraining


@hypothesis.given(strategies.lists(strategies.floats(-10, 10), min_size=8, max_size=8))
def test_values_are_the_mean_marginal_utility_over_all_orders(utilities):
    expected = np.zeros(3)
    for order in itertools.permutations(range(3)):
        coalition = 0
        for player in order:
            expected[player] += (utilities[coalition | 1 << player] - utilities[coalition]) / 6
            coalition |= 1 << player
    np.testing.assert_allclose(retraining.shapley_values(utilities), expected, atol=1e-9)


def test_values_of_real_silos_sum_to_what_all_of_them_gain(monkeypatch):
    monkeypatch.setattr(retraining, "SILOS", 3)
    monkeypatch.setattr(retraining, "_HELD_OUT_ROWS", 500)

    found = retraining.exact_values(populations.taxi(), seed=1)

    assert len(found.values) == 3
    assert sum(found.values.values()) == pytest.approx(found.gain)
    assert found.gain > 0.1
