"""The FederatedTrainer of this repository, by its executor, in the TFX interpreter."""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np

from benchmarks.data import tables
from benchmarks.suite import trainings
from benchmarks.suite.data import manifests, populations
from benchmarks.suite.entrants import contract


def predict(task: contract.Task) -> contract.Matrix:
    """Trains one model over the silos and applies it.

    Args:
        task: The task.
    """
    settings = task.settings
    training = trainings.Training(
        manifests.Manifest("flights"),
        {
            "rounds": settings["rounds"],
            "batch_size": settings["batch_size"],
            "client_learning_rate": settings["learning_rate"],
            "evaluation_interval": settings["rounds"],
            "checkpoint_interval": settings["rounds"],
            "custom_config": {"hidden_units": settings["hidden_units"]},
            "seed": settings["seed"],
        },
        is_validated=False,
    )
    training_silos, test_silos = [], []
    for number, name in enumerate(task.names):
        rows, tested = task.silo == number, task.test_silo == number
        training_silos.append(tables.SiloRows(name, task.features[rows], task.labels[rows]))
        # Nobody looks at the labels of rows that are only predicted.
        test_silos.append(tables.SiloRows(name, task.test_features[tested], np.zeros(int(tested.sum()), np.float32)))
    population = populations.Population(training.manifest, training_silos, test_silos, frozenset())
    with tempfile.TemporaryDirectory() as folder:
        return trainings.train(training, population, pathlib.Path(folder) / "training").federated


if __name__ == "__main__":
    contract.main(predict)
