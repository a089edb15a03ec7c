import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime import job as job_lib
from tff_runtime import model as model_lib
from tff_runtime.learning import batch_loop, local_steps

SILOS, BATCH, CLASSES = 3, 5, 4
FEATURES = {
    "x": job_lib.StoredFeature("float32", (3,), "x.npy"),
    "words": job_lib.StoredFeature("int64", (2,), "words.npy"),
    "scalar": job_lib.StoredFeature("float32", (), "scalar.npy"),
}
layers = tf.keras.layers


def x_input():
    return tf.keras.Input((3,), name="x")


def embedding():
    words = tf.keras.Input((2,), name="words", dtype=tf.int64)
    output = layers.Dense(1, activation="sigmoid")(layers.Flatten()(layers.Embedding(10, 3)(words)))
    return model_lib.FederatedModel(tf.keras.Model(words, output), tf.keras.losses.BinaryCrossentropy())


def several_inputs():
    # Not in alphabetical order, in which the values are fed.
    words, x, scalar = tf.keras.Input((2,), name="words", dtype=tf.int64), x_input(), tf.keras.Input((), name="scalar")
    parts = [layers.Flatten()(layers.Embedding(10, 2)(words)), x, layers.Reshape((1,))(scalar)]
    output = layers.Dense(1)(layers.Dense(4, activation="tanh")(layers.Concatenate()(parts)))
    return model_lib.FederatedModel(
        tf.keras.Model([words, x, scalar], output), tf.keras.losses.BinaryCrossentropy(from_logits=True)
    )


def classes():
    x = x_input()
    output = layers.Dense(CLASSES, activation="softmax")(layers.LayerNormalization()(layers.Dense(6)(x)))
    return model_lib.FederatedModel(tf.keras.Model(x, output), tf.keras.losses.SparseCategoricalCrossentropy())


def one_hot_classes():
    x = x_input()
    return model_lib.FederatedModel(
        tf.keras.Model(x, layers.Dense(CLASSES)(x)),
        tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
    )


def a_class_for_each_place():
    x = x_input()
    output = layers.Dense(CLASSES, activation="softmax")(layers.Reshape((3, 1))(x))
    return model_lib.FederatedModel(tf.keras.Model(x, output), tf.keras.losses.SparseCategoricalCrossentropy())


def regression():
    x = x_input()
    return model_lib.FederatedModel(tf.keras.Model(x, layers.Dense(2)(x)), tf.keras.losses.Huber(delta=0.5))


def regularized():
    x = x_input()
    hidden = layers.Dense(4, activation="relu", kernel_regularizer=tf.keras.regularizers.L2(0.1))(x)
    output = layers.Dense(1, kernel_regularizer="l1", bias_regularizer=tf.keras.regularizers.L2(0.3))(hidden)
    return model_lib.FederatedModel(tf.keras.Model(x, output), tf.keras.losses.MeanSquaredError())


def frozen_layer():
    x = x_input()
    hidden = layers.Dense(4, activation="tanh", trainable=False)(x)
    return model_lib.FederatedModel(tf.keras.Model(x, layers.Dense(1)(hidden)), tf.keras.losses.MeanSquaredError())


def shared_layer():
    x = x_input()
    dense = layers.Dense(3, activation="tanh")
    return model_lib.FederatedModel(tf.keras.Model(x, dense(dense(x))), tf.keras.losses.CosineSimilarity())


RANDOM_LABELS = {
    embedding: lambda random, shape: random.integers(0, 2, (*shape, 1)).astype(np.float32),
    several_inputs: lambda random, shape: random.integers(0, 2, (*shape, 1)).astype(np.float32),
    classes: lambda random, shape: random.integers(0, CLASSES, (*shape, 1)),
    one_hot_classes: lambda random, shape: np.eye(CLASSES, dtype=np.float32)[random.integers(0, CLASSES, shape)],
    a_class_for_each_place: lambda random, shape: random.integers(0, CLASSES, (*shape, 3)),
    regression: lambda random, shape: random.normal(size=(*shape, 2)).astype(np.float32),
    regularized: lambda random, shape: random.normal(size=(*shape, 1)).astype(np.float32),
    frozen_layer: lambda random, shape: random.normal(size=(*shape, 1)).astype(np.float32),
    shared_layer: lambda random, shape: random.normal(size=(*shape, 3)).astype(np.float32),
}


@pytest.fixture
def build(make_job):
    job = dataclasses.replace(make_job({"a": 1}).read_job(), features=FEATURES)
    return lambda make_model: functional_model.FunctionalModel(make_model, job)


def random_weights(model, random, silos=SILOS):
    trainable = [random.normal(size=(silos, *spec.shape)).astype(np.float32) for spec in model.trainable]
    return trainable, [random.normal(size=spec.shape).astype(np.float32) for spec in model.non_trainable]


def random_features(model, random, shape):
    values = {
        "x": random.normal(size=(*shape, 3)).astype(np.float32),
        "words": random.integers(0, 10, (*shape, 2)),
        "scalar": random.normal(size=shape).astype(np.float32),
    }
    return {name: values[name] for name in model.specs}


def by_keras(made, trainable, non_trainable, features, labels):
    """Returns one silo's losses by row, and the gradients of their mean with the regularization losses."""
    keras_model = made.keras_model
    for variables, values in [
        (keras_model.trainable_variables, trainable),
        (keras_model.non_trainable_variables, non_trainable),
    ]:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    with tf.GradientTape() as tape:
        predictions = keras_model({name: tf.constant(value) for name, value in features.items()}, training=True)
        objective = made.loss(labels, predictions) + sum(keras_model.losses)
        of_rows = [made.loss(labels[row : row + 1], predictions[row : row + 1]) for row in range(len(labels))]
    gradients = tape.gradient(objective, keras_model.trainable_variables)
    return np.array(of_rows), [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


@pytest.mark.parametrize("make_model", RANDOM_LABELS, ids=lambda make_model: make_model.__name__)
def test_losses_and_gradients_of_every_silo_are_those_of_keras(build, make_model):
    model, made, random = build(make_model), make_model(), np.random.default_rng(1)
    assert model.has_silo_axis
    trainable, non_trainable = random_weights(model, random)
    features = random_features(model, random, (SILOS, BATCH))
    labels = RANDOM_LABELS[make_model](random, (SILOS, BATCH))
    tensors = tf.nest.map_structure(tf.constant, (trainable, non_trainable, features, labels))
    losses = tf.function(model.example_losses)(*tensors)
    order = np.tile(np.arange(BATCH, dtype=np.int32), (SILOS, 1, 1))
    rows = batch_loop.Rows(*tensors[2:], tf.constant(order), tf.ones(SILOS, tf.int32))
    mean_loss, gradients, count = local_steps.FullPass(model)(*tensors[:2], rows)
    np.testing.assert_array_equal(count, [BATCH] * SILOS)
    for silo in range(SILOS):
        expected_losses, expected_gradients = by_keras(
            made,
            [weight[silo] for weight in trainable],
            non_trainable,
            {name: values[silo] for name, values in features.items()},
            labels[silo],
        )
        np.testing.assert_allclose(losses[silo], expected_losses, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mean_loss[silo], expected_losses.mean(), rtol=1e-5)
        for actual, expected in zip(gradients, expected_gradients, strict=True):
            np.testing.assert_allclose(actual[silo], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make_model", [several_inputs, frozen_layer], ids=lambda make_model: make_model.__name__)
def test_predictions_are_those_of_keras(build, make_model):
    model, made, random = build(make_model), make_model(), np.random.default_rng(2)
    trainable, non_trainable = random_weights(model, random, silos=1)
    features = random_features(model, random, (BATCH,))
    first = [weight[0] for weight in trainable]
    predictions = tf.function(model.predict)(*tf.nest.map_structure(tf.constant, (first, non_trainable, features)))
    by_keras(made, first, non_trainable, features, np.zeros((BATCH, 1), np.float32))
    np.testing.assert_allclose(predictions, made.keras_model(features), rtol=1e-5, atol=1e-6)


def test_regularization_is_told_apart_from_the_loss(build):
    model, random = build(regularized), np.random.default_rng(3)
    (kernel, _, last_kernel, last_bias), _ = weights = random_weights(model, random)
    assert model.is_regularized
    actual = tf.function(model.regularization_losses)(*tf.nest.map_structure(tf.constant, weights))
    # Keras takes 0.01 for "l1".
    expected = 0.1 * np.square(kernel).sum((1, 2)) + 0.01 * np.abs(last_kernel).sum((1, 2))
    np.testing.assert_allclose(actual, expected + 0.3 * np.square(last_bias).sum(1), rtol=1e-5)
    assert not build(regression).is_regularized


def test_each_weight_knows_its_layer(build):
    def named():
        x = x_input()
        hidden = layers.Dense(2, name="trunk")(layers.Dense(2, name="frozen", trainable=False)(x))
        return model_lib.FederatedModel(
            tf.keras.Model(x, layers.Dense(1, use_bias=False, name="head")(hidden)), tf.keras.losses.MeanSquaredError()
        )

    model = build(named)
    assert model.layers == ["trunk", "trunk", "head"]
    assert [spec.shape for spec in model.trainable] == [(2, 2), (2,), (2, 1)]
    assert [spec.shape for spec in model.non_trainable] == [(3, 2), (2,)]


def dropout():
    x = x_input()
    total = layers.Dense(1, use_bias=False)(layers.Dropout(0.5, seed=3)(x))
    return model_lib.FederatedModel(tf.keras.Model(x, total), tf.keras.losses.MeanAbsoluteError())


def test_dropout_leaves_out_other_inputs_in_every_silo_row_and_step_but_not_in_prediction(build):
    # Keras' seed is not heeded by XLA, so the numbers are not Keras' own; with weights of powers of 10 and labels of
    # zero, each loss tells which of the three inputs were left out.
    model, batch, steps = build(dropout), 64, 20
    weights, inputs = [np.tile([[1.0], [10.0], [100.0]], (SILOS, 1, 1)).astype(np.float32)], np.ones((SILOS, batch, 3))
    features, labels = {"x": tf.constant(inputs, tf.float32)}, tf.zeros((SILOS, batch, 1))

    def step(carry, one_batch, trainable):
        losses = model.example_losses(trainable, [], one_batch.features, one_batch.labels)
        at_step = tf.one_hot(one_batch.step, steps)
        return carry + losses[..., tf.newaxis] * at_step

    order = tf.constant(np.tile(np.arange(batch, dtype=np.int32), (SILOS, steps, 1)))
    rows = batch_loop.Rows(features, labels, order, tf.fill((SILOS,), steps))
    losses = batch_loop.BatchLoop(step)(
        tf.zeros((SILOS, batch, steps)), rows, tf.nest.map_structure(tf.constant, weights)
    )
    # What is kept is doubled, as half is left out.
    digits = np.round(losses.numpy() / 2).astype(int)
    kept = np.stack([digits // 10**place % 10 for place in range(3)], axis=-1)
    assert set(np.unique(kept)) == {0, 1}
    # Of 3 * 64 * 20 * 3 = 11,520 inputs; 0.025 are five standard deviations.
    assert kept.mean() == pytest.approx(0.5, abs=0.025)
    for axis in range(4):
        assert (np.diff(kept, axis=axis) != 0).mean() == pytest.approx(0.5, abs=0.04)
    predictions = tf.function(model.predict)([tf.constant(weights[0][0])], [], {"x": features["x"][0]})
    np.testing.assert_allclose(predictions, np.full((batch, 1), 111.0), rtol=1e-6)


def recurrent():
    x = x_input()
    hidden = layers.GRU(2)(layers.Reshape((3, 1))(x))
    return model_lib.FederatedModel(
        tf.keras.Model(x, layers.Dense(1, kernel_regularizer="l2")(hidden)), tf.keras.losses.MeanSquaredError()
    )


def test_a_model_that_cannot_be_vectorized_has_no_silo_axis_and_the_losses_of_keras(build):
    model, made, random = build(recurrent), recurrent(), np.random.default_rng(4)
    assert not model.has_silo_axis
    trainable, non_trainable = random_weights(model, random, silos=1)
    features = random_features(model, random, (1, BATCH))
    labels = random.normal(size=(1, BATCH, 1)).astype(np.float32)
    tensors = tf.nest.map_structure(tf.constant, (trainable, non_trainable, features, labels))
    losses = tf.function(model.example_losses)(*tensors)
    expected, _ = by_keras(made, [weight[0] for weight in trainable], non_trainable, {"x": features["x"][0]}, labels[0])
    np.testing.assert_allclose(losses[0], expected, rtol=1e-5, atol=1e-6)


class RegularizedByCall(tf.keras.layers.Layer):
    def call(self, values):
        self.add_loss(tf.reduce_mean(values**2))
        return values


def with_loss_of_activity():
    x = x_input()
    output = layers.Dense(1, activity_regularizer="l2")(x)
    return model_lib.FederatedModel(tf.keras.Model(x, output), tf.keras.losses.MeanSquaredError())


def with_loss_added_in_a_call():
    x = x_input()
    output = RegularizedByCall()(layers.Dense(1)(x))
    return model_lib.FederatedModel(tf.keras.Model(x, output), tf.keras.losses.MeanSquaredError())


@pytest.mark.parametrize(
    "make_model", [with_loss_of_activity, with_loss_added_in_a_call], ids=lambda make_model: make_model.__name__
)
def test_a_loss_that_depends_on_the_rows_is_refused(build, make_model):
    with pytest.raises(job_lib.JobError, match="activity_regularizer"):
        build(make_model)
