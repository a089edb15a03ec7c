"""Flower's federated averaging, with the clients in NumPy that `benchmarks.trainer` times, in Flower's interpreter."""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np

from benchmarks.suite.entrants import contract
from benchmarks.trainer import contract as trainer_contract
from benchmarks.trainer import network
from benchmarks.trainer.contenders import flower_simulation


def predict(task: contract.Task) -> contract.Matrix:
    """Trains one model over the silos and applies it.

    Args:
        task: The task.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "workload"
        _workload(task).write(folder)
        weights = flower_simulation.train(trainer_contract.Workload.read(folder), task.settings["rounds"]).weights
    return network.probabilities(weights, task.test_features)[:, 0]


def _workload(task: contract.Task) -> trainer_contract.Workload:
    generator = np.random.default_rng(task.settings["seed"])
    by_silo = np.argsort(task.silo, kind="stable")
    counts = np.bincount(task.silo)
    ends = np.cumsum(counts)
    parts = [np.arange(end - count, end) for count, end in zip(counts, ends, strict=True)]
    order = [np.concatenate([generator.permutation(part) for part in parts]) for _ in range(task.settings["rounds"])]
    return trainer_contract.Workload(
        name="task",
        batch_size=task.settings["batch_size"],
        learning_rate=task.settings["learning_rate"],
        seed=task.settings["seed"],
        weights=network.initial_weights(generator, (task.features.shape[1], task.settings["hidden_units"], 1)),
        features=task.features[by_silo],
        labels=task.labels[by_silo, np.newaxis],
        counts=counts,
        order=np.asarray(order, np.int32),
    )


if __name__ == "__main__":
    contract.main(predict)
