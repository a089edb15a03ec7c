import numpy as np
import pytest

from tests.tff_runtime import numpy_reference
from tff_runtime import federated_training, initial_weights, module_file
from tff_runtime import job as job_lib

SILOS = {"large": 20, "small": 9}
SHAPES = [(3, 4), (4,), (4, 1), (1,)]


def random_weights(shapes=SHAPES):
    random = np.random.default_rng(11)
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


def load(directory):
    job = directory.read_job()
    return job, module_file.load(directory.module, job)


def initial(directory):
    job, user = load(directory)
    return initial_weights.initial_weights(directory, job, user.make_model)


def test_a_training_starts_from_the_weights_of_the_file(make_job):
    directory = make_job(SILOS, rounds=1)
    start = random_weights()
    np.savez(directory.initial_weights, *start)
    job, user = load(directory)
    models = federated_training.run_training(directory, job, user)
    x, y = (np.load(directory.data / "train" / file) for file in ("x.npy", "label.npy"))
    rows = {"large": (x[:20], y[:20]), "small": (x[20:], y[20:])}
    expected = numpy_reference.federated_averaging(start, rows, job, rounds=1)
    for actual, value in zip(models.weights.trainable, expected, strict=True):
        np.testing.assert_allclose(actual, value, atol=1e-5)
    for position, (silo, (x, y)) in enumerate(rows.items()):
        expected = numpy_reference.local_training(start, silo, x, y, job, rounds=1)
        for stack, value in zip(models.own_weights, expected, strict=True):
            np.testing.assert_allclose(stack[position], value, atol=1e-5)


def test_without_a_file_the_seed_decides(make_job):
    first, again, other = (
        initial(make_job(SILOS, name=name, seed=seed)).trainable
        for name, seed in [("first", 1), ("again", 1), ("other", 2)]
    )
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert np.abs(first[0] - other[0]).max() > 0.01


FROZEN_IN_THE_MIDDLE = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    hidden = x = tf.keras.Input((3,), name="x")
    for number in range(6):
        hidden = tf.keras.layers.Dense(3, trainable=number % 2 == 0)(hidden)
    output = tf.keras.layers.Dense(1, activation="sigmoid")(hidden)
    return FederatedModel(tf.keras.Model(x, output), loss=tf.keras.losses.BinaryCrossentropy())
"""


def test_the_weights_of_the_file_are_in_the_order_of_the_models_variables(make_job):
    directory = make_job(SILOS, module=FROZEN_IN_THE_MIDDLE)
    # More than ten, of which the names arr_10 and later sort before arr_2.
    shapes = [(3, 3), (3,)] * 6 + [(3, 1), (1,)]
    np.savez(directory.initial_weights, *(np.full(shape, number, np.float32) for number, shape in enumerate(shapes)))
    read = initial(directory)
    # Kernel and bias of every other layer are frozen.
    assert [weight.flat[0] for weight in read.trainable] == [0, 1, 4, 5, 8, 9, 12, 13]
    assert [weight.flat[0] for weight in read.non_trainable] == [2, 3, 6, 7, 10, 11]


@pytest.mark.parametrize(
    "shapes",
    [[(3, 4), (4,), (4, 2), (2,)], SHAPES[:2], [*SHAPES, (1,)], SHAPES[::-1], []],
    ids=["another layer", "fewer", "more", "another order", "none"],
)
def test_weights_of_another_model_are_refused(make_job, shapes):
    directory = make_job(SILOS)
    np.savez(directory.initial_weights, *random_weights(shapes))
    job, user = load(directory)
    with pytest.raises(job_lib.JobError) as caught:
        federated_training.run_training(directory, job, user)
    assert caught.value.kind == "WarmStart"
    assert f"base_model has weights of shapes {shapes}, and the model of the module file {SHAPES}" in str(caught.value)
