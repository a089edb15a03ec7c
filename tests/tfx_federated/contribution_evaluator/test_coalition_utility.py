import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tests.tfx_federated.contribution_evaluator import small_evaluation
from tests.tfx_federated.contribution_evaluator.small_run import FEATURES, predictions
from tfx_federated.contribution_evaluator import coalition_utility, metrics, utilities

WEIGHTS = np.random.default_rng(0).normal(size=(67, FEATURES + 1)).astype(np.float32)


@pytest.fixture(scope="module")
def rows():
    return small_evaluation.held_out()


def test_an_overall_metric_is_over_all_rows(function, rows):
    utility = coalition_utility.CoalitionUtility(function, rows, utilities.OverallMetric("auc"))
    expected = [sklearn_metrics.roc_auc_score(rows.labels, predictions(each, rows.features["x"])) for each in WEIGHTS]
    np.testing.assert_allclose(utility(WEIGHTS), expected, atol=1e-4)
    assert utility.evaluations == 67
    assert utility.undefined_silos == []


def test_a_mean_over_silos_counts_each_silo_once(function, rows):
    utility = coalition_utility.CoalitionUtility(function, rows, utilities.MeanOverSilos("negative_log_loss"))
    expected = []
    for each in WEIGHTS[:3]:
        losses = []
        for place in range(len(rows.silos)):
            features, labels = rows.of_silo(place)
            losses.append(sklearn_metrics.log_loss(labels, predictions(each, features["x"]), labels=[0, 1]))
        expected.append(-np.mean(losses))
    np.testing.assert_allclose(utility(WEIGHTS[:3]), expected, rtol=1e-4)


def test_silos_on_whose_rows_the_metric_is_undefined_do_not_count(function):
    rows = small_evaluation.held_out({"both": 50, "single": 1})
    utility = coalition_utility.CoalitionUtility(function, rows, utilities.MeanOverSilos("auc"))
    assert utility.undefined_silos == ["single"]
    features, labels = rows.of_silo(0)
    expected = sklearn_metrics.roc_auc_score(labels, predictions(WEIGHTS[0], features["x"]))
    assert utility(WEIGHTS[:1])[0] == pytest.approx(expected, abs=1e-4)


def test_a_metric_that_is_undefined_on_all_rows_is_an_error(function):
    rows = small_evaluation.held_out(labels=1)
    utility = coalition_utility.CoalitionUtility(function, rows, utilities.OverallMetric("auc"))
    with pytest.raises(metrics.MetricError, match="'auc' is undefined on the held-out rows"):
        utility(WEIGHTS)
