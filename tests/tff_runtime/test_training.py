import json

import numpy as np
import pytest

from tests.tff_runtime import conftest, numpy_reference
from tff_runtime import federated_training, initial_weights, module_file, silo_weights
from tff_runtime import job as job_lib
from tff_runtime.settings import algorithms, executions

SILOS = {"large": 50, "small": 9, "one row": 1}


def train(directory):
    job = directory.read_job()
    user = module_file.load(directory.module, job)
    return job, user.make_model, federated_training.run_training(directory, job, user)


def rows_of_silos(directory, job, split="train"):
    x, y = (np.load(directory.data / split / file) for file in ("x.npy", "label.npy"))
    return {
        silo.silo: (x[silo.start : silo.start + silo.count], y[silo.start : silo.start + silo.count])
        for silo in job.silos[split]
    }


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from tests.tff_runtime.conftest import JobMaker

    directory = JobMaker(tmp_path_factory.mktemp("jobs"))(SILOS)
    return directory, *train(directory)


def test_federated_weights_equal_numpy_federated_averaging(trained):
    directory, job, make_model, models = trained
    initial = initial_weights.initial_weights(directory, job, make_model).trainable
    expected = numpy_reference.federated_averaging(initial, rows_of_silos(directory, job), job, job.rounds)
    for actual, value in zip(models.weights.trainable, expected, strict=True):
        np.testing.assert_allclose(actual, value, atol=1e-5)


def test_each_local_model_equals_numpy_sgd_on_that_silo_alone(trained):
    directory, job, make_model, models = trained
    initial = initial_weights.initial_weights(directory, job, make_model).trainable
    for position, (silo, (x, y)) in enumerate(rows_of_silos(directory, job).items()):
        expected = numpy_reference.local_training(initial, silo, x, y, job, job.rounds)
        for stack, value in zip(models.own_weights, expected, strict=True):
            np.testing.assert_allclose(stack[position], value, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        ({"silo_weighting": "uniform"}, [1, 1, 1]),
        ({"silo_weighting": "square_root"}, [50**0.5, 3, 1]),
        # 10 of 20 is the half that 9 and 1 leave.
        ({"maximum_silo_share": 0.5}, [10, 9, 1]),
        ({"algorithm": algorithms.FedProx(strength=2.0)}, [50, 9, 1]),
    ],
)
def test_weights_and_proximal_term_equal_numpy(make_job, changes, weights):
    directory = make_job(SILOS, local_models=False, **changes)
    job, make_model, models = train(directory)
    initial = initial_weights.initial_weights(directory, job, make_model).trainable
    rows = rows_of_silos(directory, job)
    strength = getattr(job.algorithm, "strength", 0.0)
    expected = numpy_reference.federated_averaging(initial, rows, job, job.rounds, weights, strength)
    plain = numpy_reference.federated_averaging(initial, rows, job, job.rounds)
    for actual, value in zip(models.weights.trainable, expected, strict=True):
        np.testing.assert_allclose(actual, value, atol=1e-5)
    assert max(np.abs(value - other).max() for value, other in zip(expected, plain, strict=True)) > 1e-3


def test_rounds_count_every_row_of_every_epoch(trained):
    directory, job, _, _ = trained
    rounds = read_lines(directory.unfinished_result / "run" / "rounds.jsonl")
    assert [line["round"] for line in rounds] == [1, 2, 3]
    assert {line["num_examples"] for line in rounds} == {60 * job.local_epochs}


def test_silo_metrics_equal_the_models_own_loss_on_each_silo(trained):
    directory, job, make_model, models = trained
    lines = read_lines(directory.unfinished_result / "run" / "silo_metrics.jsonl")
    assert {line["round"] for line in lines} == {2, 3}
    keras_model = make_model().keras_model
    models.weights.assign_weights_to(keras_model)
    for silo, (x, y) in rows_of_silos(directory, job, "eval").items():
        probability = np.clip(keras_model(x).numpy(), 1e-7, 1 - 1e-7)
        expected = -np.mean(y * np.log(probability) + (1 - y) * np.log(1 - probability))
        (line,) = [
            line
            for line in lines
            if (line["round"], line["split"], line["model"], line["silo"]) == (3, "eval", "federated", silo)
        ]
        assert line["rows"] == len(x)
        assert line["loss"] == pytest.approx(expected, rel=1e-4)


def test_a_training_ended_after_two_rounds_goes_on_to_the_same_weights(trained, make_job):
    _, _, _, whole = trained
    directory = make_job(SILOS, rounds=2)
    train(directory)
    fields = json.loads(directory.job.read_text())
    directory.job.write_text(json.dumps({**fields, "rounds": 3}))
    _, _, resumed = train(directory)
    for actual, expected in zip(resumed.weights.trainable, whole.weights.trainable, strict=True):
        np.testing.assert_array_equal(actual, expected)
    for actual, expected in zip(resumed.own_weights, whole.own_weights, strict=True):
        np.testing.assert_array_equal(actual, expected)
    rounds = read_lines(directory.unfinished_result / "run" / "rounds.jsonl")
    assert [line["round"] for line in rounds] == [1, 2, 3]


@pytest.mark.parametrize("server_optimizer", job_lib.SERVER_OPTIMIZERS)
def test_every_server_optimizer_lowers_the_loss(make_job, server_optimizer):
    rate = 1.0 if server_optimizer == "sgd" else 0.1
    directory = make_job(
        {"a": 40, "b": 24}, rounds=6, server_optimizer=server_optimizer, server_learning_rate=rate, local_models=False
    )
    train(directory)
    rounds = read_lines(directory.unfinished_result / "run" / "rounds.jsonl")
    assert rounds[-1]["loss"] < rounds[0]["loss"]


def break_silo(directory, name):
    for split in ("train", "eval"):
        x = np.load(directory.data / split / "x.npy")
        (silo,) = [silo for silo in directory.read_job().silos[split] if silo.silo == name]
        x[silo.start] = np.inf
        np.save(directory.data / split / "x.npy", x)


@pytest.mark.parametrize("weighting", silo_weights.WEIGHTINGS)
def test_a_silo_whose_update_is_not_finite_is_left_out_and_named(make_job, weighting):
    directory = make_job({"good": 16, "broken": 8, "small": 5}, silo_weighting=weighting)
    break_silo(directory, "broken")
    job, make_model, models = train(directory)
    initial = initial_weights.initial_weights(directory, job, make_model).trainable
    rows = {silo: values for silo, values in rows_of_silos(directory, job).items() if silo != "broken"}
    counts = silo_weights.weights([16, 5], weighting, 1.0)
    expected = numpy_reference.federated_averaging(initial, rows, job, job.rounds, counts)
    for actual, value in zip(models.weights.trainable, expected, strict=True):
        np.testing.assert_allclose(actual, value, atol=1e-5)
    # The broken silo's own model is the one that it began with.
    for stack, value in zip(models.own_weights, initial, strict=True):
        np.testing.assert_array_equal(stack[1], value)
    records = directory.unfinished_result / "run"
    for line in read_lines(records / "rounds.jsonl"):
        assert (line["rejected_silos"], line["rejected_local_models"]) == (["broken"], ["broken"])
        assert line["num_examples"] == 21 * job.local_epochs
    for line in read_lines(records / "silo_metrics.jsonl"):
        assert (line["loss"] is None) == (line["silo"] == "broken")
    events = [event for event in read_lines(directory.progress) if event["event"] == "rejected"]
    assert [(event["round"], event["silos"]) for event in events] == [(1, ["broken"]), (2, ["broken"]), (3, ["broken"])]


DIVERGES_LATER = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

class Explosion(tf.keras.losses.Loss):
    def call(self, y_true, y_pred):
        return -tf.exp(y_pred)

def model_fn(arguments):
    x = tf.keras.Input((3,), name="x")
    output = tf.keras.layers.Dense(1, kernel_initializer="zeros")(x)
    return FederatedModel(tf.keras.Model(x, output), loss=Explosion())
"""


@pytest.mark.parametrize(("silos", "named"), [({"a": 8}, "silo 'a'"), ({"a": 8, "b": 8}, "every silo")])
def test_a_training_without_any_finite_update_stops_and_keeps_the_state_before(make_job, silos, named):
    settings = {"rounds": 40, "evaluation_interval": 40, "client_learning_rate": 0.05, "local_models": False}
    directory = make_job(silos, module=DIVERGES_LATER, **settings)
    with pytest.raises(job_lib.JobError, match=f"the update of {named} is not finite") as caught:
        train(directory)
    assert caught.value.kind == "NonFiniteUpdate"
    assert caught.value.round_number > 1
    kept = [int(folder.name.rsplit("_", 1)[1]) for folder in directory.checkpoints.iterdir()]
    assert max(kept) == caught.value.round_number - 1


OWN_PROCESS = (
    conftest.MODULE
    + """
import tensorflow_federated as tff

def learning_process_fn(arguments, model_function):
    return tff.learning.algorithms.build_weighted_fed_avg(
        model_function, client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.2)
    )
"""
)


def test_a_users_own_tff_process_is_run_as_it_is(trained, make_job):
    _, _, _, ours = trained
    directory = make_job(SILOS, module=OWN_PROCESS, execution=executions.Native())
    _, _, models = train(directory)
    # Stock federated averaging with the same rate, batches and order.
    for actual, expected in zip(models.weights.trainable, ours.weights.trainable, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-5)
    lines = read_lines(directory.unfinished_result / "run" / "silo_metrics.jsonl")
    assert {line["model"] for line in lines} == {"federated", "local"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "set execution=Native"),
        ({"execution": executions.Native(), "algorithm": algorithms.FedProx(strength=1)}, "the settings algorithm are"),
    ],
)
def test_settings_that_a_users_own_process_would_not_heed_are_refused(make_job, changes, message):
    with pytest.raises(job_lib.JobError, match=message):
        train(make_job(SILOS, module=OWN_PROCESS, **changes))
