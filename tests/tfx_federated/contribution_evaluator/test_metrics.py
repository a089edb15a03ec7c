import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tfx_federated.contribution_evaluator import metrics

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 2, 80).astype(np.float64)
# Rounded, so that there are ties.
SCORES = np.round(GENERATOR.random((3, 80)), 1).astype(np.float32)
CLASS_LABELS = GENERATOR.integers(0, 3, 80).astype(np.float64)
CLASSES = GENERATOR.dirichlet([1, 1, 1], (3, 80)).astype(np.float32)


def test_areas_are_those_of_sklearn():
    expected = [sklearn_metrics.roc_auc_score(LABELS, scores) for scores in SCORES]
    np.testing.assert_allclose(metrics.areas(SCORES, LABELS), expected, rtol=1e-12)


def test_an_area_is_undefined_for_rows_of_one_class_and_for_predictions_that_are_not_finite():
    assert np.isnan(metrics.areas(SCORES, np.ones(80))).all()
    broken = SCORES.copy()
    broken[1, 5] = np.nan
    assert np.isnan(metrics.areas(broken, LABELS)).tolist() == [False, True, False]


@pytest.mark.parametrize(("predictions", "labels"), [(SCORES, LABELS), (CLASSES, CLASS_LABELS)])
def test_means_over_rows_are_those_of_sklearn(predictions, labels):
    clipped = np.clip(predictions, 1e-6, 1 - 1e-6)
    for name, expected in {
        "accuracy": lambda found: sklearn_metrics.accuracy_score(
            labels, found.argmax(axis=1) if found.ndim == 2 else found > 0.5
        ),
        "negative_log_loss": lambda found: -sklearn_metrics.log_loss(labels, found),
    }.items():
        found = metrics.OF_ROWS[name](clipped, labels).mean(axis=1)
        np.testing.assert_allclose(found, [expected(each) for each in clipped.astype(np.float64)], rtol=1e-4)


def test_squared_errors_are_those_of_sklearn():
    expected = [-sklearn_metrics.mean_squared_error(LABELS, scores) for scores in SCORES.astype(np.float64)]
    found = metrics.OF_ROWS["negative_squared_error"](SCORES, LABELS).mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("metric", "labels", "predictions", "message"),
    [
        ("auc", LABELS, CLASSES, "takes one prediction a row, and the model gives 3; take 'accuracy'"),
        ("negative_squared_error", LABELS, CLASSES, "takes one prediction a row, and the model gives 3"),
        ("auc", LABELS + 1, SCORES, "labels from 0 to 1, and the held-out rows have others"),
        ("accuracy", CLASS_LABELS + 1, CLASSES, "labels from 0 to 2, and the held-out rows have others"),
        ("negative_log_loss", LABELS, SCORES * 2, "takes probabilities, and the model gives values outside"),
    ],
)
def test_a_metric_that_says_nothing_about_such_rows_is_refused(metric, labels, predictions, message):
    with pytest.raises(metrics.MetricError, match=message):
        metrics.require_defined(metric, labels, predictions)


def test_what_is_defined_is_taken():
    metrics.require_defined("auc", LABELS, SCORES * 5)
    metrics.require_defined("accuracy", CLASS_LABELS, CLASSES)
    metrics.require_defined("negative_squared_error", LABELS * 7.5, SCORES)
