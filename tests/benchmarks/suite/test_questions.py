import numpy as np
import pytest
from benchmarks.suite.questions import benefit, free_riding, scale

from tfx_federated.contribution_evaluator.detection import readings
from tfx_federated.statistics import paired


def _gains(rows, line, error, seed=0):
    noise = np.random.default_rng(seed).normal(0, error, len(rows))
    return paired.of_standard_errors(line(np.log(rows)) + noise, np.full(len(rows), error))


def test_the_crossover_is_where_the_line_through_the_gains_is_zero():
    rows = np.geomspace(10, 100_000, 60).astype(np.int64)
    found = benefit.crossing(_gains(rows, lambda x: 0.02 * (np.log(2000) - x), 0.005), rows)
    assert found.rows == pytest.approx(2000, rel=0.15)
    assert found.lower < 2000 < found.upper
    assert found.share == 1


@pytest.mark.parametrize(
    "line",
    [lambda x: 0.05 - 0.001 * x, lambda x: 0.01 * (x - np.log(2000))],
    ids=["zero lies beyond the sizes", "the gain grows"],
)
def test_no_crossover_is_claimed_without_one(line):
    rows = np.geomspace(10, 100_000, 60).astype(np.int64)
    found = benefit.crossing(_gains(rows, line, 0.001), rows)
    assert np.isnan([found.rows, found.lower, found.upper]).all()


def test_a_crossover_that_noise_makes_has_no_bounds():
    rows = np.geomspace(10, 1000, 12).astype(np.int64)
    found = benefit.crossing(_gains(rows, lambda x: 0 * x, 0.05, seed=3), rows)
    assert found.share < 0.95
    assert np.isnan([found.lower, found.upper]).all()


def test_the_exponent_is_that_of_the_power_law():
    silos = np.array([10, 100, 1000])
    assert scale.exponent(silos, 3 * silos**0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("power", "name"),
    [
        (-0.5, "falling"),
        (0.05, "flat"),
        (0.5, "between flat and proportional"),
        (1.05, "proportional"),
        (1.5, "steeper than proportional"),
    ],
)
def test_the_shape_has_a_name(power, name):
    assert scale.shape(power) == name


def _finding(silo, kind, peer=None):
    return readings.Finding(silo, "", kind, 1.0, 0.001, "", {}, {}, peer)


def test_of_silos_with_the_same_rows_one_stays():
    pairs = {"a": "c", "b": "c", "c": "b", "x": "y", "y": "x"}
    copies = [_finding(silo, readings.Kind.DUPLICATE, peer) for silo, peer in pairs.items()]
    assert free_riding.to_leave_out(copies) == ("b", "c", "y")


def test_a_copy_that_is_named_for_something_else_goes():
    pair = [_finding("a", readings.Kind.DUPLICATE, "b"), _finding("b", readings.Kind.DUPLICATE, "a")]
    assert free_riding.to_leave_out([*pair, _finding("a", readings.Kind.HARM)]) == ("a", "b")
    assert free_riding.to_leave_out([]) == ()
