import numpy as np
import pytest
import tensorflow as tf

from tests.tfx_federated.contribution_evaluator.small_run import FEATURES, predictions
from tfx_federated.contribution_evaluator import federated_run, model_function

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(("models", "rows"), [(1, 1), (3, 64), (5, 70), (70, 130), (17, 4200)])
def test_padding_and_batches_change_no_prediction(function, models, rows):
    weights = GENERATOR.normal(size=(models, FEATURES + 1)).astype(np.float32)
    x = GENERATOR.normal(size=(rows, FEATURES)).astype(np.float32)
    found = function.predictions(weights, {"x": x})
    assert found.shape == (models, rows)
    np.testing.assert_allclose(found, [predictions(each, x) for each in weights], atol=1e-5)


def test_features_and_parameters_are_those_of_the_model(function):
    assert function.parameters == FEATURES + 1
    assert function.feature_specs == {"x": tf.io.FixedLenFeature([FEATURES], tf.float32)}


def test_a_run_of_an_older_version_is_said_to_have_no_model(tmp_path):
    with pytest.raises(federated_run.LedgerError, match="run FederatedTrainer again"):
        model_function.ModelFunction(str(tmp_path / "model_function"))


def test_another_saved_model_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(federated_run.LedgerError, match="run FederatedTrainer again"):
        model_function.ModelFunction(str(tmp_path / "other"))
