import numpy as np
import pytest
import tensorflow as tf
from tfx.utils import path_utils

from tests.tfx_federated import small_job
from tfx_federated.federated_trainer import serving_model, warm_start


def save_trained(folder, weights):
    """Saves a Model artifact's files as the trainer does, around an inner model with more variables than ten."""
    inner = tf.Module()
    inner.model_variables = [tf.Variable(value) for value in weights]
    inner.predict = tf.function(
        lambda features: features["x"] * tf.add_n([tf.reduce_sum(value) for value in inner.model_variables]),
        input_signature=[{"x": tf.TensorSpec((None, 1), tf.float32)}],
    )
    tf.saved_model.save(inner, str(folder / "inner"))
    specs = {"x": tf.io.FixedLenFeature((1,), tf.float32)}
    uri = str(folder / "model")
    serving_model.save(path_utils.serving_model_dir(uri), folder / "inner", serving_model.ModelFeatures(specs, "label"))
    return uri


def test_the_weights_of_a_trained_model_are_written_in_the_order_of_its_variables(tmp_path):
    random = np.random.default_rng(0)
    weights = [random.normal(size=(number % 3 + 1, 2)).astype(np.float32) for number in range(12)]
    directory = small_job.write(tmp_path, rounds=1)
    warm_start.write_initial_weights(save_trained(tmp_path, weights), directory)
    with np.load(directory.initial_weights) as written:
        assert written.files == [f"arr_{number}" for number in range(12)]
        for number, expected in enumerate(weights):
            np.testing.assert_array_equal(written[f"arr_{number}"], expected)


def test_the_same_model_is_written_as_the_same_bytes_which_the_key_of_the_checkpoints_covers(tmp_path):
    directory = small_job.write(tmp_path, rounds=1)
    uri = save_trained(tmp_path, [np.ones(3, np.float32)])
    warm_start.write_initial_weights(uri, directory)
    first = directory.initial_weights.read_bytes()
    warm_start.write_initial_weights(uri, directory)
    assert directory.initial_weights.read_bytes() == first


def test_a_model_of_another_trainer_is_refused(tmp_path):
    module = tf.Module()
    module.weights = [tf.Variable([1.0])]
    tf.saved_model.save(module, path_utils.serving_model_dir(str(tmp_path / "model")))
    with pytest.raises(warm_start.BaseModelError, match=r"model is no model of a FederatedTrainer; give the output"):
        warm_start.read_weights(str(tmp_path / "model"))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(warm_start.BaseModelError, match="holds no SavedModel with weights"):
        warm_start.read_weights(str(tmp_path))
