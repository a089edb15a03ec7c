import numpy as np
import pytest
import tensorflow as tf

from tests.tff_runtime import conftest
from tests.tff_runtime.learning import numpy_algorithms as reference
from tff_runtime import federated_training, functional_model, many_models, module_file, results

SILOS = {"a": 20, "b": 9}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A job with its result, and the model as a function of its weights in it."""
    directory = conftest.JobMaker(tmp_path_factory.mktemp("jobs"))(SILOS, rounds=2, local_models=False)
    job = directory.read_job()
    user = module_file.load(directory.module, job)
    trained = federated_training.run_training(directory, job, user)
    results.write_models(directory.unfinished_result, trained, user.make_model, job)
    return directory, tf.saved_model.load(str(directory.unfinished_result / "run" / "model_function"))


def rows(directory):
    return np.load(directory.data / "train" / "x.npy")


def test_each_models_predictions_are_those_of_its_weights_and_xla_compiles_them(trained):
    directory, models = trained
    x = rows(directory)
    weights = np.random.default_rng(0).normal(size=(5, 21)).astype(np.float32)
    compiled = tf.function(lambda weights, x: models.predict(weights, {"x": x}), jit_compile=True)
    for predict in (compiled, lambda weights, x: models.predict(weights, {"x": x})):
        predictions = predict(tf.constant(weights), tf.constant(x))
        assert predictions.shape == (5, len(x), 1)
        for of_one, vector in zip(predictions, weights, strict=True):
            np.testing.assert_allclose(of_one, reference.forward(vector, x)[1], atol=1e-5)


def test_the_recorded_weights_are_those_of_the_trained_model(trained):
    directory, models = trained
    features = {"x": tf.constant(rows(directory))}
    with np.load(directory.unfinished_result / "run" / "weights.npz") as file:
        assert set(file) == {"exported", "initial", "last_round"}
        np.testing.assert_array_equal(file["exported"], file["last_round"])
        of_exported = models.predict(file["exported"][np.newaxis], features)[0]
    model = tf.saved_model.load(str(directory.unfinished_result / "model"))
    np.testing.assert_allclose(of_exported, model.predict(features), atol=1e-6)


NOT_VECTORIZED = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    x = tf.keras.Input((3,), name="x")
    hidden = tf.keras.layers.GRU(2, unroll=False)(tf.keras.layers.Reshape((3, 1))(x))
    output = tf.keras.layers.Dense(1, activation="sigmoid")(hidden)
    return FederatedModel(tf.keras.Model(x, output), loss=tf.keras.losses.BinaryCrossentropy())
"""


def test_a_model_that_cannot_be_vectorized_predicts_one_after_the_other(make_job, tmp_path):
    directory = make_job(SILOS, module=NOT_VECTORIZED)
    job = directory.read_job()
    make_model = module_file.load(directory.module, job).make_model
    model = functional_model.FunctionalModel(make_model, job)
    assert not model.has_silo_axis
    many_models.save(tmp_path / "many_models", model, [])
    keras_models = [make_model().keras_model for _ in range(2)]
    weights = [np.concatenate([np.ravel(weight) for weight in keras.get_weights()]) for keras in keras_models]
    features = {"x": tf.constant(rows(directory))}
    predictions = tf.saved_model.load(str(tmp_path / "many_models")).predict(tf.constant(np.stack(weights)), features)
    for of_one, keras_model in zip(predictions, keras_models, strict=True):
        np.testing.assert_allclose(of_one, keras_model(features["x"]), atol=1e-6)
