import numpy as np
import pytest
import tensorflow as tf

from tests.tfx_federated.fairness_evaluator.conftest import example, save_model, weighted
from tfx_federated.fairness_evaluator import predictions
from tfx_federated.fairness_evaluator.checked_examples import EvaluationInputError


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(str(folder), weighted(2.0))
    return f"{folder}/Format-Serving"


@pytest.fixture(scope="module")
def signature(path):
    loaded = tf.saved_model.load(path)
    # The signature lives as long as what it was loaded with.
    yield loaded.signatures["serving_default"]
    del loaded


def serialized(*rows):
    return np.array([row.SerializeToString() for row in rows], dtype=object)


def test_one_prediction_a_row(signature):
    rows = serialized(example(x=0.0), example(x=1.0))
    np.testing.assert_allclose(predictions._predict(signature, rows, "m"), [[0.5], [1 / (1 + np.exp(-2.0))]], rtol=1e-6)


def test_a_missing_feature_is_named_and_no_value_is_shown(signature):
    with pytest.raises(EvaluationInputError, match="baseline: feature 'x' is required but missing") as caught:
        predictions._predict(signature, serialized(example(x=1.0), example(secret="hunter2")), "baseline")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["hunter2", [0.25, 0.75]])
def test_a_feature_of_another_type_or_length_is_named_and_no_value_is_shown(signature, value):
    with pytest.raises(EvaluationInputError, match="feature 'x' has another type or length") as caught:
        predictions._predict(signature, serialized(example(x=value)), "m")
    assert "hunter2" not in str(caught.value)
    assert "0.25" not in str(caught.value)


def test_rows_that_are_no_examples_are_not_shown(signature):
    with pytest.raises(EvaluationInputError, match="do not match") as caught:
        predictions._predict(signature, np.array([b"hunter2"], dtype=object), "m")
    assert "hunter2" not in str(caught.value)


def test_a_prediction_for_the_batch_as_a_whole_is_refused(tmp_path):
    save_model(str(tmp_path), lambda features: tf.reduce_mean(features["x"]))
    signature = tf.saved_model.load(f"{tmp_path}/Format-Serving")
    with pytest.raises(EvaluationInputError, match=r"shape \(1, 1\) for 2 rows"):
        predictions._predict(signature.signatures["serving_default"], serialized(example(x=0.0), example(x=1.0)), "m")


def test_the_signature_is_required_and_takes_serialized_examples(path, tmp_path):
    predictions.require_signature(path, "model", "serving_default")
    with pytest.raises(ValueError, match=r"model: .* no signature 'predict', only \['serving_default'\]"):
        predictions.require_signature(path, "model", "predict")
    with pytest.raises(ValueError, match="there is no SavedModel"):
        predictions.require_signature(str(tmp_path), "model", "predict")
    module = tf.Module()
    module.serve = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.serve})
    with pytest.raises(ValueError, match=r"must take one string tensor.*'float32'"):
        predictions.require_signature(str(tmp_path), "model", "serving_default")
