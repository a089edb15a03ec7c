import json
import shutil

import pytest

from tff_runtime import federated_training, module_file
from tff_runtime import job as job_lib
from tff_runtime.settings import executions, personalizations, privacy

SILOS = {"large": 50, "small": 9, "tiny": 3}
EXECUTIONS = [executions.InProcess(), executions.Native()]


def train(directory):
    job = directory.read_job()
    return federated_training.run_training(directory, job, module_file.load(directory.module, job))


def lines(directory, file):
    return [json.loads(line) for line in (directory.unfinished_result / "run" / file).read_text().splitlines()]


def spent(directory):
    return json.loads((directory.unfinished_result / "run" / "privacy.json").read_text())


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_record_level_spends_each_silos_epsilon_and_tells_nothing_of_training_rows(make_job, execution):
    setting = privacy.RecordLevel(epsilon=8.0, delta=1e-3, epsilon_of_silo={"small": 2.0})
    personal = personalizations.MeanRegularized(strength=0.1)
    directory = make_job(SILOS, local_models=False, privacy=setting, personalization=personal, execution=execution)
    trained = train(directory)
    result = spent(directory)
    assert result["unit"] == "row"
    for silo, values in result["silos"].items():
        target = 2.0 if silo == "small" else 8.0
        assert values["target_epsilon"] == target
        # The noise is no larger than it has to be.
        assert 0.9 * target < values["epsilon"] <= target
    assert result["silos"]["small"]["noise_multiplier"] > result["silos"]["large"]["noise_multiplier"]
    rounds = lines(directory, "rounds.jsonl")
    assert {line["loss"] for line in rounds} == {None}
    # Measured after rounds 2 and 3.
    epsilons = [line.get("epsilon") for line in rounds]
    assert epsilons[0] is None
    assert 0 < epsilons[1] < epsilons[2] == result["epsilon"]
    assert {line["loss"] for line in lines(directory, "silo_updates.jsonl")} == {None}
    assert {line["split"] for line in lines(directory, "silo_metrics.jsonl")} == {"eval"}
    assert [len(stack) for stack in trained.own_weights] == [3] * 4


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_silo_level_tells_nothing_of_single_silos(make_job, execution):
    setting = privacy.SiloLevel(epsilon=8.0, delta=1e-2)
    choices = {"silo_weighting": "uniform", "evaluation_split": None, "local_models": False, "execution": execution}
    directory = make_job(SILOS, privacy=setting, **choices)
    train(directory)
    result = spent(directory)
    assert result["unit"] == "silo"
    assert 0.9 * 8 < result["epsilon"] <= 8
    assert {line["num_examples"] for line in lines(directory, "rounds.jsonl")} == {None}
    assert lines(directory, "silo_updates.jsonl") == []
    assert lines(directory, "silo_metrics.jsonl") == []
    assert {line["loss"] for line in lines(directory, "rounds.jsonl")} == {None}


def test_a_round_that_is_run_again_is_counted_again_and_the_budget_ends_the_training(make_job):
    setting = privacy.RecordLevel(epsilon=8.0, delta=1e-3)
    directory = make_job(SILOS, local_models=False, privacy=setting)
    train(directory)
    before = spent(directory)["silos"]["large"]
    # As after a crash in the last round: its state is not there, what it cost is.
    shutil.rmtree(max(directory.checkpoints.glob("program_state_*")))
    train(directory)
    after = spent(directory)["silos"]["large"]
    # Three rounds were planned for; a fourth would cost more than the budget.
    assert (before["rounds"], after["rounds"]) == (3, 3)
    assert after["out_of_budget"]
    events = [json.loads(line) for line in directory.progress.read_text().splitlines()]
    assert [event["round"] for event in events if event["event"] == "budget spent"] == [2]


def test_a_delta_that_allows_to_publish_a_row_is_refused(make_job):
    directory = make_job(SILOS, local_models=False, privacy=privacy.RecordLevel(epsilon=8.0, delta=0.5))
    with pytest.raises(job_lib.JobError, match=r"delta is 0\.5; it must be below"):
        train(directory)


RECURRENT = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    x = tf.keras.Input((3,), name="x")
    hidden = tf.keras.layers.GRU(2, unroll=False)(tf.keras.layers.Reshape((3, 1))(x))
    output = tf.keras.layers.Dense(1, activation="sigmoid")(hidden)
    return FederatedModel(tf.keras.Model(x, output), loss=tf.keras.losses.BinaryCrossentropy())
"""


def test_a_model_without_gradients_of_single_rows_is_refused(make_job):
    setting = privacy.RecordLevel(epsilon=8.0, delta=1e-3)
    directory = make_job(SILOS, local_models=False, privacy=setting, module=RECURRENT)
    with pytest.raises(job_lib.JobError, match="RecordLevel needs a gradient of each row"):
        train(directory)


def test_an_operation_that_xla_does_not_compile_is_explained(make_job):
    with pytest.raises(job_lib.JobError, match="recurrent layers need unroll=True"):
        train(make_job(SILOS, local_models=False, module=RECURRENT))
