import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest

from tests.tff_runtime.learning import numpy_algorithms as reference
from tests.tff_runtime.test_training import OWN_PROCESS
from tff_runtime import federated_training, initial_weights, module_file
from tff_runtime import job as job_lib
from tff_runtime.settings import algorithms, executions, ledgers, personalizations, privacy

SILOS = {"large": 50, "small": 9, "one row": 1}
EXECUTIONS = [executions.InProcess(), executions.Native()]
DETAILED = {"ledger": ledgers.DetailedLedger(), "local_models": False}


def train(directory):
    job = directory.read_job()
    user = module_file.load(directory.module, job)
    initial = initial_weights.initial_weights(directory, job, user.make_model)
    trained = federated_training.run_training(directory, job, user)
    return job, reference.flat(initial.trainable), trained


def rows_of(directory, job):
    x, y = (np.load(directory.data / "train" / file).astype(np.float64) for file in ("x.npy", "label.npy"))
    return {
        silo.silo: (x[silo.start : silo.start + silo.count], y[silo.start : silo.start + silo.count])
        for silo in job.silos["train"]
    }


def lines(directory, name="silo_updates.jsonl"):
    return [json.loads(line) for line in (directory.unfinished_result / "run" / name).read_text().splitlines()]


def stored_round(directory, round_number):
    with np.load(directory.unfinished_result / "run" / "updates" / f"round-{round_number:05d}.npz") as file:
        return dict(file)


def stored_index(directory):
    return json.loads((directory.unfinished_result / "run" / "updates" / "index.json").read_text())


def updates_of(file):
    return file["updates"].astype(np.float64) * file["scales"][:, np.newaxis]


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


@pytest.mark.parametrize("execution", EXECUTIONS, ids=lambda value: type(value).__name__)
def test_updates_cosines_and_losses_are_those_of_numpy(make_job, execution):
    directory = make_job(SILOS, execution=execution, **DETAILED)
    job, w, trained = train(directory)
    silos = reference.Silos(rows_of(directory, job), job)
    for t in (1, 2, 3):
        after = {silo: silos.sgd(w, silo, t)[0] for silo in silos.rows}
        mean = np.average([after[silo] - w for silo in silos.rows], axis=0, weights=silos.counts)
        file = stored_round(directory, t)
        assert file["silos"].tolist() == list(SILOS)
        np.testing.assert_allclose(file["weights"], silos.counts)
        np.testing.assert_allclose(file["global"], w, atol=1e-5)
        for row, silo in enumerate(SILOS):
            largest = np.abs(after[silo] - w).max()
            np.testing.assert_allclose(updates_of(file)[row], after[silo] - w, atol=2**-11 * largest + 1e-5)
            (line,) = [line for line in lines(directory) if (line["round"], line["silo"]) == (t, silo)]
            assert line["cosine"] == pytest.approx(cosine(after[silo] - w, mean), abs=1e-4)
            assert line["update_norm"] == pytest.approx(np.linalg.norm(after[silo] - w), abs=1e-5)
            assert line["loss_before"] == pytest.approx(reference.loss(w, silos.rows[silo]), abs=1e-5)
            assert line["loss_after"] == pytest.approx(reference.loss(after[silo], silos.rows[silo]), abs=1e-5)
        w = w + mean
    np.testing.assert_allclose(reference.flat(trained.last_weights.trainable), w, atol=1e-5)
    index = stored_index(directory)
    assert (index["rounds"], index["omitted_rounds"], index["parameters"]) == ([1, 2, 3], [], 21)
    assert [variable["shape"] for variable in index["variables"]] == [[3, 4], [4], [4, 1], [1]]


@pytest.mark.parametrize("execution", EXECUTIONS, ids=lambda value: type(value).__name__)
def test_a_summary_has_cosines_where_the_updates_are_at_hand_and_nothing_else(make_job, execution):
    directory = make_job(SILOS, local_models=False, execution=execution)
    train(directory)
    for line in lines(directory):
        assert set(line) == {"round", "silo", "rows", "weight", "loss", "update_norm", "cosine"}
        assert (line["cosine"] is not None) == (execution == executions.InProcess())
    assert not (directory.unfinished_result / "run" / "updates").exists()


# In the order of numpy_algorithms.SHAPES: the second layer stays with the silos.
IS_LOCAL = np.repeat([False, False, True, True], [12, 4, 4, 1])
NAMED_MODULE = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    x = tf.keras.Input(arguments.features["x"].shape, name="x")
    hidden = tf.keras.layers.Dense(4, activation="tanh", name="trunk")(x)
    output = tf.keras.layers.Dense(1, activation="sigmoid", name="head")(hidden)
    return FederatedModel(tf.keras.Model(x, output), loss=tf.keras.losses.BinaryCrossentropy())
"""


def test_of_local_layers_the_shared_part_is_sent_and_the_silos_own_model_is_measured(make_job):
    choices = {**DETAILED, "personalization": personalizations.LocalLayers(("head",)), "module": NAMED_MODULE}
    directory = make_job(SILOS, rounds=2, **choices)
    job, w, _ = train(directory)
    silos = reference.Silos(rows_of(directory, job), job)
    shared, own = reference.local_layers(w, _rounds(silos, 1), IS_LOCAL)
    after = {silo: silos.sgd(own[silo], silo, 2)[0] for silo in silos.rows}
    file = stored_round(directory, 2)
    np.testing.assert_allclose(file["global"], shared, atol=1e-5)
    np.testing.assert_array_equal(file["global"][IS_LOCAL], np.float32(w)[IS_LOCAL])
    for row, silo in enumerate(SILOS):
        np.testing.assert_array_equal(updates_of(file)[row, IS_LOCAL], 0)
        change = np.where(IS_LOCAL, 0, after[silo] - own[silo])
        np.testing.assert_allclose(updates_of(file)[row], change, atol=2**-11 * np.abs(change).max() + 1e-5)
        (line,) = [line for line in lines(directory) if (line["round"], line["silo"]) == (2, silo)]
        assert line["loss_before"] == pytest.approx(reference.loss(own[silo], silos.rows[silo]), abs=1e-5)
        assert line["loss_after"] == pytest.approx(reference.loss(after[silo], silos.rows[silo]), abs=1e-5)


def _rounds(silos, rounds):
    return reference.Silos(silos.rows, dataclasses.replace(silos.job, rounds=rounds))


@pytest.mark.parametrize(
    "choices",
    [
        {"algorithm": algorithms.QFedAvg(q=2.0)},
        {"algorithm": algorithms.TiltedFederated(tilt=2.0)},
        {"algorithm": algorithms.FedSGD()},
        {"personalization": personalizations.MeanRegularized(strength=0.5)},
    ],
    ids=lambda choices: type(next(iter(choices.values()))).__name__,
)
def test_the_stored_updates_by_their_weights_lead_from_one_round_to_the_next(make_job, choices):
    directory = make_job(SILOS, **DETAILED, **choices)
    train(directory)
    files = [stored_round(directory, t) for t in (1, 2, 3)]
    for before, after in itertools.pairwise(files):
        mean = np.average(updates_of(before), axis=0, weights=before["weights"])
        np.testing.assert_allclose(before["global"] + mean, after["global"], atol=2e-3 * before["scales"].max())
    assert all(line["loss_before"] > 0 for line in lines(directory))
    # In FedSGD a silo trains no model of its own.
    is_trained = choices.get("algorithm") != algorithms.FedSGD()
    assert {line["loss_after"] is not None for line in lines(directory)} == {is_trained}


def test_under_record_level_privacy_updates_are_kept_and_losses_are_not_told(make_job):
    directory = make_job(SILOS, privacy=privacy.RecordLevel(epsilon=8.0, delta=1e-3), **DETAILED)
    train(directory)
    assert stored_index(directory)["rounds"] == [1, 2, 3]
    assert {(line["loss"], line["loss_before"], line["loss_after"]) for line in lines(directory)} == {(None,) * 3}
    assert all(-1 <= line["cosine"] <= 1 for line in lines(directory))


def test_a_training_that_goes_on_replaces_the_rounds_that_it_runs_again(make_job):
    directory = make_job(SILOS, **DETAILED)
    train(directory)
    whole = [stored_round(directory, t) for t in (1, 2, 3)]
    # As after a crash in the last round.
    shutil.rmtree(max(directory.checkpoints.glob("program_state_*")))
    broken = directory.unfinished_result / "run" / "updates" / "round-00003.npz"
    broken.write_bytes(b"of the round that was ended")
    train(directory)
    for t, file in enumerate(whole, start=1):
        for name, values in stored_round(directory, t).items():
            np.testing.assert_array_equal(values, file[name])
    assert stored_index(directory)["rounds"] == [1, 2, 3]


def test_rounds_beyond_the_largest_size_are_named_in_the_index(make_job):
    directory = make_job(SILOS, **{**DETAILED, "ledger": ledgers.DetailedLedger(maximum_bytes=5000)})
    train(directory)
    index = stored_index(directory)
    assert (index["rounds"], index["omitted_rounds"]) == ([1], [2, 3])
    events = [json.loads(line) for line in directory.progress.read_text().splitlines()]
    assert [event["round"] for event in events if event["event"] == "updates left out"] == [2]


def test_a_users_own_process_is_refused(make_job):
    directory = make_job(SILOS, module=OWN_PROCESS, execution=executions.Native(), **DETAILED)
    with pytest.raises(job_lib.JobError, match=r"DetailedLedger would have no updates; set ledger=SummaryLedger\(\)"):
        train(directory)
