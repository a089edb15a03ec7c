import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.tfx_federated import small_job
from tff_runtime import job as job_lib
from tfx_federated.federated_trainer import device_model

ROWS = 300
RANDOM = np.random.default_rng(0)
FEATURES = {
    "category": RANDOM.integers(0, 4, ROWS),
    'a number\'s "name"': RANDOM.normal(size=(ROWS, 2)).astype(np.float32),
}
SPECS = {
    "category": tf.TensorSpec((None,), tf.int64),
    'a number\'s "name"': tf.TensorSpec((None, 2), tf.float32),
}


def save(folder, output):
    """Saves a model as `tff_runtime.prediction.save_model` does, with an embedding and the given output layer."""
    module = tf.Module()
    embedding = tf.Variable(RANDOM.normal(size=(4, 3)).astype(np.float32))
    kernel = tf.Variable(RANDOM.normal(size=(5, 1)).astype(np.float32))
    module.model_variables = [embedding, kernel]

    def predict(features):
        embedded = tf.gather(embedding, features["category"])
        return output(tf.concat([embedded, features['a number\'s "name"']], axis=1) @ kernel)

    module.predict = tf.function(predict, input_signature=[SPECS])
    tf.saved_model.save(module, str(folder))
    return folder


@pytest.fixture
def directory(tmp_path):
    directory = small_job.write(tmp_path, rounds=1)
    stored = {}
    for name, values in FEATURES.items():
        stored[name] = job_lib.StoredFeature(values.dtype.name, values.shape[1:], f"{len(stored)}.npy")
        np.save(directory.data / "train" / stored[name].file, values)
    directory.job.write_text(dataclasses.replace(directory.read_job(), features=stored).to_json())
    return directory


def test_the_file_takes_features_by_name_in_a_batch_of_any_size_and_predicts_as_the_saved_model_does(
    tmp_path, directory
):
    inner = save(tmp_path / "inner", tf.sigmoid)
    device_model.export(inner, directory, str(tmp_path / "model"))
    interpreter = tf.lite.Interpreter(model_path=str(tmp_path / "model" / "Format-TFLite" / "model.tflite"))
    runner = interpreter.get_signature_runner("serving_default")
    model = tf.saved_model.load(str(inner))
    for rows in (1, 7, ROWS, 2):
        features = {name: values[:rows] for name, values in FEATURES.items()}
        expected = model.predict({name: tf.constant(values) for name, values in features.items()})
        assert expected.shape == (rows, 1)
        found = runner(category=features["category"], a_number_s__name_=features['a number\'s "name"'])
        np.testing.assert_allclose(found["predictions"], expected, rtol=1e-5, atol=1e-6)


def test_a_file_of_another_model_is_refused_with_the_largest_difference(tmp_path):
    content = device_model.convert(tf.saved_model.load(str(save(tmp_path / "other", tf.tanh))), SPECS)
    model = tf.saved_model.load(str(save(tmp_path / "model", tf.sigmoid)))
    with pytest.raises(device_model.DeviceModelError, match=r"in one batch, predictions differ by up to \d"):
        device_model.require_equal_predictions(model, content, FEATURES)


def test_predictions_that_depend_on_the_rest_of_the_batch_are_refused(tmp_path, directory):
    inner = save(tmp_path / "inner", lambda output: output - tf.reduce_mean(output))
    with pytest.raises(device_model.DeviceModelError, match="in batches of one row, predictions differ"):
        device_model.export(inner, directory, str(tmp_path / "model"))
    assert not pathlib.Path(device_model.path_in(str(tmp_path / "model"))).exists()


def test_a_prediction_that_is_not_a_number_on_both_sides_is_equal(tmp_path):
    model = tf.saved_model.load(str(save(tmp_path / "inner", tf.math.log)))
    features = {name: values[:20] for name, values in FEATURES.items()}
    predictions = model.predict({name: tf.constant(values) for name, values in features.items()}).numpy()
    assert 0 < np.isnan(predictions).sum() < 20
    device_model.require_equal_predictions(model, device_model.convert(model, SPECS), features)


def test_an_operation_that_devices_do_not_have_is_named(tmp_path):
    model = tf.saved_model.load(str(save(tmp_path / "inner", tf.math.digamma)))
    with pytest.raises(device_model.DeviceModelError, match=r"LiteRT does not have all(.|\n)*Digamma"):
        device_model.convert(model, SPECS)


def test_two_features_that_would_be_one_input_are_refused(tmp_path):
    specs = {"a b": tf.TensorSpec((None,), tf.float32), "a_b": tf.TensorSpec((None,), tf.float32)}
    with pytest.raises(device_model.DeviceModelError, match=r"the same name .* \['a b', 'a_b'\]"):
        device_model.convert(tf.saved_model.load(str(save(tmp_path / "inner", tf.sigmoid))), specs)
