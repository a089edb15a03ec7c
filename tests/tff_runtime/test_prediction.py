import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tff_runtime import functional_model, prediction
from tff_runtime import job as job_lib
from tff_runtime import model as model_lib


def branched_model():
    """Variables are created in another order than Keras lists them; an embedding is in it."""
    category = tf.keras.Input((), dtype=tf.int64, name="category")
    numbers = tf.keras.Input((2,), name="numbers")
    deep = tf.keras.layers.Dense(5, activation="relu")(tf.keras.layers.Embedding(4, 3)(category))
    wide = tf.keras.layers.LayerNormalization()(numbers)
    joined = tf.keras.layers.Concatenate()([wide, deep])
    output = tf.keras.layers.Dense(1)(joined)
    return model_lib.FederatedModel(
        tf.keras.Model([numbers, category], output), loss=tf.keras.losses.MeanSquaredError()
    )


@pytest.fixture
def job(make_job):
    features = {
        "category": job_lib.StoredFeature("int64", (), "c.npy"),
        "numbers": job_lib.StoredFeature("float32", (2,), "n.npy"),
        "unused": job_lib.StoredFeature("float32", (), "u.npy"),
    }
    return dataclasses.replace(make_job({"a": 2}).read_job(), features=features)


def functional(job):
    return functional_model.FunctionalModel(branched_model, job)


def features_of(rows):
    random = np.random.default_rng(3)
    return {
        "category": tf.constant(random.integers(0, 4, rows)),
        "numbers": tf.constant(random.normal(size=(rows, 2)).astype(np.float32)),
    }


def test_a_saved_model_predicts_as_keras_does(job, tmp_path):
    keras_model = branched_model().keras_model
    features = features_of(6)
    prediction.save_model(tmp_path / "model", keras_model, job)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded.predict(features), keras_model(features, training=False), rtol=1e-6)


@pytest.mark.parametrize(
    ("copied_in_a_call", "at_once"),
    [(1 << 16, 1 << 24), (1 << 16, 60), (0, 1 << 24)],
    ids=["one call", "chunks", "silos"],
)
@pytest.mark.parametrize("trunk_is_shared", [False, True])
def test_each_row_is_answered_by_its_silos_model_and_unknown_silos_by_nan(
    job, tmp_path, monkeypatch, copied_in_a_call, at_once, trunk_is_shared
):
    monkeypatch.setattr(prediction, "_NUMBERS_COPIED_IN_A_CALL", copied_in_a_call)
    monkeypatch.setattr(prediction, "_NUMBERS_AT_ONCE", at_once)
    models = {name: branched_model().keras_model for name in ["a", "b", "c/é"]}
    random = np.random.default_rng(5)
    for model in models.values():
        model.set_weights([random.random(weight.shape).astype(np.float32) for weight in model.get_weights()])
    if trunk_is_shared:
        trunk = models["a"].get_weights()[:-2]
        for model in models.values():
            model.set_weights([*trunk, *model.get_weights()[-2:]])
    stacked = [
        np.stack(values)
        for values in zip(*[[v.numpy() for v in model.trainable_variables] for model in models.values()], strict=True)
    ]
    silos = ["b", "a", "unknown", "c/é", "b", "a", "a", ""]
    features = features_of(len(silos))
    of_every_model = {silo: model(features, training=False).numpy() for silo, model in models.items()}
    prediction.save_silo_models(tmp_path / "models", functional(job), stacked, [], list(models))
    loaded = tf.saved_model.load(str(tmp_path / "models"))
    predictions = loaded.predict(features, tf.constant(silos)).numpy()
    assert predictions.shape == (8, 1)
    for row, silo in enumerate(silos):
        expected = of_every_model[silo][row] if silo in models else [np.nan]
        np.testing.assert_allclose(predictions[row], expected, rtol=1e-6)


def test_a_batch_without_rows_or_without_known_silos_has_predictions_of_the_same_form(job, tmp_path):
    weights = [variable.numpy()[None] for variable in branched_model().keras_model.trainable_variables]
    prediction.save_silo_models(tmp_path / "models", functional(job), weights, [], ["a"])
    loaded = tf.saved_model.load(str(tmp_path / "models"))
    assert loaded.predict(features_of(0), tf.constant([], tf.string)).shape == (0, 1)
    assert np.isnan(loaded.predict(features_of(2), tf.constant(["x", "y"])).numpy()).all()


def convolution(window):
    return tf.keras.layers.Dense(1)(tf.keras.layers.GlobalMaxPooling1D()(tf.keras.layers.Conv1D(3, 2)(window)))


def float64_output(window):
    return tf.keras.layers.Dense(1, dtype="float64")(tf.keras.layers.Flatten()(window))


@pytest.mark.parametrize("layers", [convolution, float64_output])
def test_layers_that_cannot_be_vectorized_over_rows_and_outputs_of_another_type_are_served(job, tmp_path, layers):
    window = tf.keras.Input((5, 2), name="window")
    keras_model = tf.keras.Model(window, layers(window))
    made = model_lib.FederatedModel(keras_model, loss=tf.keras.losses.MeanSquaredError())
    job = dataclasses.replace(job, features={"window": job_lib.StoredFeature("float32", (5, 2), "w.npy")})
    random = np.random.default_rng(7)
    stacked = [random.normal(size=(3, *v.shape)).astype(v.dtype.name) for v in keras_model.trainable_variables]
    model = functional_model.FunctionalModel(lambda: made, job)
    prediction.save_silo_models(tmp_path / "models", model, stacked, [], ["a", "b", "c"])
    loaded = tf.saved_model.load(str(tmp_path / "models"))
    windows = random.normal(size=(4, 5, 2)).astype(np.float32)
    predictions = loaded.predict({"window": tf.constant(windows)}, tf.constant(["c", "a", "unknown", "c"])).numpy()
    for row, silo in ((0, 2), (1, 0), (3, 2)):
        keras_model.set_weights([weights[silo] for weights in stacked])
        np.testing.assert_allclose(predictions[row], keras_model(windows[row : row + 1])[0], rtol=1e-6)
    assert np.isnan(predictions[2]).all()
