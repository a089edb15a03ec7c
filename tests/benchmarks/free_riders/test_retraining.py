import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from benchmarks.free_riders import federated_averaging, populations, retraining


@hypothesis.given(strategies.lists(strategies.floats(-10, 10), min_size=8, max_size=8))
def test_values_are_the_mean_marginal_utility_over_all_orders(utilities):
    expected = np.zeros(3)
    for order in itertools.permutations(range(3)):
        coalition = 0
        for player in order:
            expected[player] += (utilities[coalition | 1 << player] - utilities[coalition]) / 6
            coalition |= 1 << player
    np.testing.assert_allclose(retraining.shapley_values(utilities), expected, atol=1e-9)


def test_values_of_real_silos_sum_to_what_all_of_them_gain():
    federation = retraining.draw(populations.taxi(), seed=1, silos=3)

    found = retraining.exact_values(federation, federated_averaging.Settings(rounds=10), seed=1)

    assert len(found.values) == len(federation.silos) == 3
    assert sum(found.values) == pytest.approx(found.gain)
    assert found.gain > 0.1
