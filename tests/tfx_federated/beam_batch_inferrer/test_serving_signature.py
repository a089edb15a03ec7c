import numpy as np
import pytest
import tensorflow as tf

from tests.tfx_federated.beam_batch_inferrer.inference_case import example, expected_score, save_model
from tfx_federated.beam_batch_inferrer.row_errors import MISSING_FEATURE, MODEL_ERROR, BatchError
from tfx_federated.beam_batch_inferrer.serving_signature import ServingSignature
from tfx_federated.example_shards import ShardError


def signature_of(model):
    return ServingSignature(f"{model.uri}/Format-Serving")


def predict(signature, records):
    return signature.predict({"examples": tf.constant(records)}, len(records))


def save_function(path, function, name="serving_default"):
    module = tf.Module()
    module.serve = function
    tf.saved_model.save(module, str(path), signatures={name: function})
    return str(path)


def test_predictions_equal_the_formula(sigmoid_model):
    x = np.array([-3.0, 0.0, 0.25, 7.0], np.float32)
    outputs = predict(signature_of(sigmoid_model), [example(float(value)) for value in x])
    assert list(outputs) == ["score"]
    np.testing.assert_allclose(outputs["score"][:, 0], expected_score(x), rtol=1e-6)


def test_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"input 'model': there is no SavedModel in {tmp_path}"):
        ServingSignature(str(tmp_path))


def test_missing_signature_lists_those_there_are(tmp_path):
    function = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None], tf.string)])
    path = save_function(tmp_path, function, name="classify")
    with pytest.raises(ValueError, match=r"no signature 'serving_default'; it has \['classify'\]"):
        ServingSignature(path)


@pytest.mark.parametrize(
    ("specs", "described"),
    [
        ([tf.TensorSpec([None, 3], tf.float32, name="x")], r"x: float32 \(None, 3\)"),
        ([tf.TensorSpec([8], tf.string, name="x")], r"x: string \(8,\)"),
        ([tf.TensorSpec([None], tf.string, name="a"), tf.TensorSpec([None], tf.string, name="b")], "a: string .*b: "),
    ],
)
def test_other_inputs_are_refused_and_described(tmp_path, specs, described):
    path = save_function(tmp_path, tf.function(lambda *inputs: inputs[0], input_signature=specs))
    with pytest.raises(ValueError, match=f"takes \\({described}"):
        ServingSignature(path)


def test_output_named_like_a_column_of_the_results_is_refused(tmp_path):
    model = save_model(tmp_path, lambda parsed: {"row": parsed["x"]})
    with pytest.raises(ValueError, match="output 'row'"):
        signature_of(model).require_columns({"row", "source"})


def test_output_of_a_type_without_a_column_is_refused(tmp_path):
    model = save_model(tmp_path, lambda parsed: {"z": tf.complex(parsed["x"], 0.0)})
    with pytest.raises(ValueError, match=r"output 'z' .* is complex64"):
        signature_of(model)


def test_output_without_a_batch_axis_is_refused(tmp_path):
    signature = signature_of(save_model(tmp_path, lambda parsed: {"mean": tf.reduce_mean(parsed["x"])}))
    with pytest.raises(ShardError, match=r"output 'mean' .* has shape \[\] for a batch of 2 rows"):
        predict(signature, [example(1.0), example(2.0)])


def test_missing_feature_is_named(sigmoid_model):
    with pytest.raises(BatchError, match=r"Feature: x .* is required but could not be found$") as caught:
        predict(signature_of(sigmoid_model), [example(None, "a")])
    assert caught.value.fault.reason == MISSING_FEATURE


def test_feature_of_another_type_is_named(tmp_path):
    model = save_model(
        tmp_path, lambda parsed: {"n": parsed["company"]}, {"company": tf.io.FixedLenFeature([], tf.int64)}
    )
    with pytest.raises(BatchError, match=r"Key: company.* Data types .*expected type: int64$") as caught:
        predict(signature_of(model), [example(1.0, "a")])
    assert caught.value.fault.reason == MODEL_ERROR


def test_error_of_the_graph_does_not_show_a_value(tmp_path):
    model = save_model(
        tmp_path,
        lambda parsed: {"n": tf.strings.to_number(parsed["company"])},
        {"company": tf.io.FixedLenFeature([], tf.string)},
    )
    with pytest.raises(BatchError, match="InvalidArgumentError") as caught:
        predict(signature_of(model), [example(1.0, "secret")])
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_error_that_quotes_bytes_is_an_error_of_the_rows(tmp_path):
    model = save_model(
        tmp_path,
        lambda parsed: {"n": tf.strings.to_number(parsed["company"])},
        {"company": tf.io.FixedLenFeature([], tf.string)},
    )
    record = tf.train.Example()
    record.features.feature["company"].bytes_list.value.append(b"\xff")
    with pytest.raises(BatchError, match="the model refuses the row"):
        predict(signature_of(model), [record.SerializeToString()])


def test_features_are_taken_one_by_one(sigmoid_model):
    signature = ServingSignature(f"{sigmoid_model.uri}/Format-Serving", on_features=True)
    x = np.array([-3.0, 0.25], np.float32)
    outputs = signature.predict({"x": tf.constant(x)}, 2)
    np.testing.assert_allclose(outputs["score"][:, 0], expected_score(x), rtol=1e-6)


def test_model_that_takes_only_examples_is_refused_for_parquet(tmp_path):
    path = save_function(
        tmp_path, tf.function(lambda x: {"n": tf.strings.length(x)}, [tf.TensorSpec([None], tf.string)])
    )
    with pytest.raises(ValueError, match=r"the examples are Parquet, .*; export a signature 'features'"):
        ServingSignature(path, on_features=True)


def test_input_without_a_batch_axis_is_refused_for_parquet(tmp_path):
    path = save_function(tmp_path, tf.function(lambda x: {"n": x}, [tf.TensorSpec([], tf.float32, name="x")]))
    with pytest.raises(ValueError, match="each input must be a tensor whose first axis is the batch"):
        ServingSignature(path, on_features=True)
