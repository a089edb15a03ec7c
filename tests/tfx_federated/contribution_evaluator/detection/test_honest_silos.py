import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from tfx_federated.contribution_evaluator.detection import honest_silos

ROWS = np.geomspace(10, 10_000, 400)


def _values(seed):
    # Location rises with the rows, spread falls as their square root.
    generator = np.random.default_rng(seed)
    return np.log(ROWS) + generator.normal(size=len(ROWS)) * 10 / np.sqrt(ROWS)


def test_the_stated_false_alarm_rate_holds_for_silos_of_every_size():
    chances = np.stack([honest_silos.chance_below(_values(seed), ROWS) for seed in range(50)])
    for part in np.array_split(chances, 4, axis=1):
        # Tails are heavier than these silos', so that the rate is an upper bound.
        assert 0.005 <= np.mean(part <= 0.05) <= 0.06
        assert np.mean(part <= 0.001) <= 0.001


def test_a_silo_is_compared_with_silos_of_its_size():
    values = _values(0)
    values[0] = values[-1] = np.log(ROWS[200])
    # The same distance is common among small silos and unheard of among large ones.
    distance = abs(values[-1] - np.log(ROWS[-1]))
    values[0] = np.log(ROWS[0]) - distance
    chances = honest_silos.chance_below(values, ROWS)
    assert chances[0] > 0.05
    assert chances[-1] < 1e-6


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_misbehaving_silos_do_not_hide_each_other(share):
    values = _values(1)
    bad = np.random.default_rng(2).random(len(ROWS)) < share
    values[bad] -= 100
    chances = honest_silos.chance_below(values, ROWS)
    assert chances[bad].max() < 1e-4
    assert np.mean(chances[~bad] < 0.05) < 0.1


def test_low_and_high_are_the_two_tails():
    values = _values(3)
    np.testing.assert_allclose(honest_silos.chance_below(values, ROWS) + honest_silos.chance_above(values, ROWS), 1)


def test_of_too_few_silos_nothing_is_known():
    few = honest_silos.MINIMUM_SILOS - 1
    assert np.isnan(honest_silos.chance_below(np.arange(few) * 1.0, np.arange(few) + 1.0)).all()


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(
    strategies.lists(
        strategies.tuples(strategies.floats(-1e6, 1e6), strategies.integers(0, 10**6)), min_size=1, max_size=30
    )
)
def test_chances_are_probabilities_or_unknown(silos):
    values, rows = np.array(silos).T
    chances = honest_silos.chance_below(values, rows)
    assert np.all(np.isnan(chances) | ((chances >= 0) & (chances <= 1)))
    assert np.isnan(chances[rows == 0]).all()


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(strategies.floats(0.01, 100), strategies.floats(-100, 100))
def test_units_do_not_matter(scale, shift):
    values = _values(4)
    np.testing.assert_allclose(
        honest_silos.chance_below(scale * values + shift, ROWS), honest_silos.chance_below(values, ROWS), atol=1e-3
    )
