import json

import numpy as np
import pytest

from tff_runtime import federated_training, module_file
from tff_runtime.settings import algorithms, executions

# In batches of 2: silos of 5 to 8 steps in one padded group, and silos of one or two steps in another.
SILOS = {"middle": 12, **{f"small {number}": 1 + number % 4 for number in range(11)}, "large": 16, "smaller": 9}


def train(directory):
    job = directory.read_job()
    return federated_training.run_training(directory, job, module_file.load(directory.module, job))


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def compilations(directory):
    (event,) = [line for line in lines(directory.progress) if line["event"] == "compiled"]
    return event["compilations"]


def assert_equal_rows(actual, expected):
    assert [row.keys() for row in actual] == [row.keys() for row in expected]
    for row, other in zip(actual, expected, strict=True):
        for name in row.keys() - {"seconds"}:
            assert row[name] == (
                pytest.approx(other[name], rel=2e-5) if isinstance(other[name], float) else other[name]
            )


@pytest.mark.parametrize(
    "algorithm", [algorithms.FedAvg(), algorithms.Scaffold()], ids=lambda value: type(value).__name__
)
def test_small_silos_in_a_group_train_as_each_alone(make_job, algorithm):
    choices = {"algorithm": algorithm, "rounds": 2, "local_epochs": 1, "batch_size": 2, "local_models": False}
    # A group has no more silos than a thread's share: with a thread for each silo, all are alone.
    alone = make_job(SILOS, name="alone", execution=executions.InProcess(threads=len(SILOS)), **choices)
    grouped = make_job(SILOS, name="grouped", execution=executions.InProcess(threads=1), **choices)
    models, models_of_groups = train(alone), train(grouped)
    # One shape for all silos, or one for each of the two groups.
    assert (compilations(alone), compilations(grouped)) == (1, 2)
    for actual, expected in zip(models_of_groups.weights.trainable, models.weights.trainable, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    for file in ("rounds.jsonl", "silo_updates.jsonl", "silo_metrics.jsonl"):
        records = [lines(directory.unfinished_result / "run" / file) for directory in (grouped, alone)]
        assert_equal_rows(*records)
