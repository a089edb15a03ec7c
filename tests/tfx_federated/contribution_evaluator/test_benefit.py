import numpy as np
import pytest
import sklearn.metrics

from tests.tfx_federated.contribution_evaluator import small_evaluation
from tfx_federated.contribution_evaluator import benefit
from tfx_federated.statistics import evidence

MINIMUMS = evidence.Minimums(20, 5, 5)
ENOUGH, TOO_FEW_ROWS, UNDEFINED = (
    evidence.Evidence.ENOUGH,
    evidence.Evidence.TOO_FEW_ROWS,
    evidence.Evidence.UNDEFINED,
)


@pytest.fixture(scope="module")
def rows():
    return small_evaluation.held_out()


@pytest.fixture(scope="module")
def answers(rows):
    generator = np.random.default_rng(0)
    good = np.clip(0.5 + 0.3 * (rows.labels - 0.5) + generator.normal(0, 0.2, len(rows.labels)), 0.01, 0.99)
    return good.astype(np.float32), generator.random(len(rows.labels)).astype(np.float32)


def of_silo(rows, silo):
    place = rows.silos.index(silo)
    return place, slice(rows.ends[place] - rows.counts[place], rows.ends[place])


def loss(predictions, labels):
    return -np.log(np.where(labels == 1, predictions, 1 - predictions))


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("auc", lambda labels, scores: sklearn.metrics.roc_auc_score(labels, scores)),
        ("accuracy", lambda labels, scores: np.mean((scores > 0.5) == labels)),
        ("negative_log_loss", lambda labels, scores: -np.mean(loss(scores, labels))),
        ("negative_squared_error", lambda labels, scores: -np.mean((scores - labels) ** 2)),
    ],
)
def test_the_gain_is_the_difference_of_the_metric_on_the_silos_own_rows(rows, answers, metric, value):
    better, worse = answers
    gains = benefit.gains(metric, rows, better, worse, MINIMUMS)
    for silo in ("large", "middle"):
        place, mine = of_silo(rows, silo)
        expected = value(rows.labels[mine], better[mine]) - value(rows.labels[mine], worse[mine])
        assert gains.gain[place] == pytest.approx(expected, abs=1e-6)
    assert gains.p_helped[rows.silos.index("large")] < 1e-6
    np.testing.assert_allclose(
        benefit.gains(metric, rows, worse, better, MINIMUMS).gain, -gains.gain, atol=1e-12, equal_nan=True
    )


@pytest.mark.parametrize("metric", ["auc", "accuracy", "negative_squared_error"])
def test_the_interval_is_that_of_a_paired_bootstrap_of_the_rows(rows, answers, metric):
    better, worse = answers
    gains = benefit.gains(metric, rows, better, worse, MINIMUMS)
    place, mine = of_silo(rows, "large")
    labels, first, second = rows.labels[mine], better[mine], worse[mine]
    value = {
        "auc": sklearn.metrics.roc_auc_score,
        "accuracy": lambda labels, scores: np.mean((scores > 0.5) == labels),
        "negative_squared_error": lambda labels, scores: -np.mean((scores - labels) ** 2),
    }[metric]
    generator = np.random.default_rng(3)
    draws = generator.integers(len(labels), size=(1000, len(labels)))
    resampled = [value(labels[draw], first[draw]) - value(labels[draw], second[draw]) for draw in draws]
    lower, upper = np.quantile(resampled, [0.025, 0.975])
    found = gains.intervals(0.95)
    width = upper - lower
    assert abs(found.lower[place] - lower) < 0.15 * width
    assert abs(found.upper[place] - upper) < 0.15 * width


def test_nothing_is_claimed_of_few_rows_and_of_rows_without_a_model(rows, answers):
    better, worse = (np.array(values) for values in answers)
    worse[of_silo(rows, "stranger")[1]] = np.nan
    gains = benefit.gains("auc", rows, better, worse, MINIMUMS)
    codes = dict(zip(rows.silos, gains.evidence, strict=True))
    assert codes["large"] == ENOUGH
    assert {codes["small"], codes["stranger"]} == {TOO_FEW_ROWS}
    assert np.isnan(gains.gain[rows.silos.index("stranger")])


def test_the_auc_of_one_class_is_undefined_and_the_others_are_not(rows, answers):
    labels = rows.labels.copy()
    labels[of_silo(rows, "middle")[1]] = 1
    one_class = small_evaluation.held_out()
    object.__setattr__(one_class, "labels", labels)
    gains = benefit.gains("auc", one_class, *answers, MINIMUMS)
    assert gains.evidence[rows.silos.index("middle")] == evidence.Evidence.TOO_FEW_NEGATIVES
    assert gains.evidence[rows.silos.index("large")] == ENOUGH


def test_classes_are_compared_by_the_likeliest(rows):
    labels = rows.labels.astype(int)
    right = np.eye(2, dtype=np.float32)[labels]
    gains = benefit.gains("accuracy", rows, right, 1 - right, MINIMUMS)
    assert gains.gain[rows.silos.index("large")] == 1
