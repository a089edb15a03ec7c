import numpy as np
import pytest
from benchmarks.suite.data import manifests, populations
from sklearn import metrics

from benchmarks.data import tables
from benchmarks.suite import answers, measures


@pytest.fixture(scope="module")
def population():
    generator = np.random.default_rng(0)
    sizes = {"few": 5, "one": 200, "three": 300, "two": 250}

    def silos(factor):
        return [
            tables.SiloRows(
                name,
                np.zeros((factor * size, 1), np.float32),
                (generator.random(factor * size) < 0.4).astype(np.float32),
            )
            for name, size in sizes.items()
        ]

    return populations.Population(manifests.Manifest("taxi"), silos(2), silos(1), frozenset())


@pytest.fixture(scope="module")
def test_rows(population):
    return measures.TestRows.of(population)


def _scores(test_rows, signal, seed=1):
    noise = np.random.default_rng(seed).normal(size=len(test_rows.labels))
    return (1 / (1 + np.exp(-(signal * test_rows.labels + noise)))).astype(np.float32)


def test_values_are_those_of_scikit_learn_for_silos_with_enough_rows(test_rows):
    scores = _scores(test_rows, 1.0)
    values = measures.of_silos(test_rows, scores)
    assert list(values.claimed) == [False, True, True, True]
    for place in (1, 2, 3):
        own = test_rows.silo == place
        assert values.intervals.estimate[place] == pytest.approx(
            metrics.roc_auc_score(test_rows.labels[own], scores[own])
        )
        assert values.loss[place] == pytest.approx(metrics.log_loss(test_rows.labels[own], scores[own]), rel=1e-5)
    assert values.overall == pytest.approx(metrics.roc_auc_score(test_rows.labels, scores))


def test_rows_without_a_prediction_are_left_out(test_rows):
    scores = _scores(test_rows, 1.0)
    partial = np.where(test_rows.silo == 2, np.float32(np.nan), scores)
    values = measures.of_silos(test_rows, partial)
    assert list(values.claimed) == [False, True, False, True]
    known = test_rows.silo != 2
    assert values.overall == pytest.approx(metrics.roc_auc_score(test_rows.labels[known], scores[known]))


def test_statistics_over_silos_are_those_of_the_claimed_silos(test_rows):
    values = measures.of_silos(test_rows, _scores(test_rows, 1.0))
    found = measures.across_silos(test_rows, values)
    claimed = values.intervals.estimate[1:]
    assert found["mean"].observed == pytest.approx(claimed.mean())
    assert found["worst_silo"].observed == pytest.approx(claimed.min())
    assert found["standard_deviation"].observed == pytest.approx(claimed.std())
    assert found["mean"].lower < claimed.mean() < found["mean"].upper


def test_a_better_model_gains_on_every_silo_and_the_mean_says_so(test_rows):
    gains = measures.gains(test_rows, _scores(test_rows, 3.0), _scores(test_rows, 0.0, seed=2))
    assert (gains.gain[1:] > 0.2).all()
    assert np.isnan(gains.gain[0])
    benefit = measures.mean_gain(gains)
    assert benefit.mean_gain.lower > 0
    assert benefit.significantly_helped.sum() == 3
    assert measures.mean_gain(gains, test_rows.of_silos(["two"])).silos == 1


def test_no_silo_with_enough_rows_is_an_error_that_says_what_to_do(test_rows):
    values = measures.of_silos(test_rows, _scores(test_rows, 1.0))
    with pytest.raises(ValueError, match="take more evaluation rows"):
        measures.across_silos(test_rows, values, test_rows.of_silos(["few"]))


def test_halves_are_by_training_rows_and_hold_claimed_silos_only(test_rows):
    halves = answers.halves(test_rows, np.array([False, True, True, True]))
    assert [test_rows.silos[place] for place in np.flatnonzero(halves["smaller half"])] == ["one"]
    assert [test_rows.silos[place] for place in np.flatnonzero(halves["larger half"])] == ["three", "two"]


def test_a_verdict_needs_bounds_on_one_side_of_zero():
    verdicts = [answers.Number(0.1, *bounds).verdict for bounds in ((0.05, 0.2), (-0.01, 0.2), (-0.2, -0.01))]
    assert verdicts == ["gains", "shows no difference", "loses"]
