"""What an entrant is given, and what it gives back. NumPy and the standard library only: any interpreter can read it.

A task is a folder:

    manifest.json   the population's manifest, with its checksum
    names.json      names of the silos, in the order of their numbers
    train.npz       `features` float32 [rows, features], `labels` float32 [rows], `silo` int64 [rows]
    test.npz        `features` and `silo`; the labels stay with the benchmark
    settings.json   what all entrants share: `rounds`, `batch_size`, `learning_rate`, `hidden_units`, `seed`

An entrant writes one `.npy` file: the probability of label 1 for every test row, float32 [rows], in their order. NaN
says that it has no model for the row's silo.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Task:
    """What an entrant is given.

    Attributes:
        names: Names of the silos.
        features: Training rows, [rows, features].
        labels: 0 or 1, [rows].
        silo: Number of the row's silo, [rows].
        test_features: Test rows, [test rows, features].
        test_silo: Number of the row's silo, [test rows].
        settings: What all entrants share.
    """

    names: list[str]
    features: Matrix
    labels: Matrix
    silo: npt.NDArray[np.int64]
    test_features: Matrix
    test_silo: npt.NDArray[np.int64]
    settings: Mapping[str, Any]


def write(task: Task, manifest: str, folder: pathlib.Path) -> None:
    """Writes a task.

    Args:
        task: What to write.
        manifest: JSON text of the population's manifest.
        folder: A folder that is not there yet.
    """
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(manifest, "utf-8")
    (folder / "names.json").write_text(json.dumps(task.names), "utf-8")
    (folder / "settings.json").write_text(json.dumps(dict(task.settings)), "utf-8")
    np.savez(folder / "train.npz", features=task.features, labels=task.labels, silo=task.silo)
    np.savez(folder / "test.npz", features=task.test_features, silo=task.test_silo)


def read(folder: pathlib.Path) -> Task:
    """Reads a task."""
    names = json.loads((folder / "names.json").read_text("utf-8"))
    settings = json.loads((folder / "settings.json").read_text("utf-8"))
    with np.load(folder / "train.npz") as train, np.load(folder / "test.npz") as test:
        return Task(names, train["features"], train["labels"], train["silo"], test["features"], test["silo"], settings)


def checked(predictions: Matrix, rows: int) -> Matrix:
    """Returns predictions as they must be.

    Args:
        predictions: What an entrant gave.
        rows: Number of test rows.

    Raises:
        ValueError: They are of another shape, or a value is no probability.
    """
    if predictions.shape != (rows,):
        raise ValueError(f"predictions have the shape {predictions.shape}; there are {rows} test rows: give ({rows},)")
    known = predictions[~np.isnan(predictions)]
    if not ((known >= 0) & (known <= 1)).all():
        raise ValueError(
            "predictions hold values that are no probabilities; give values in [0, 1], or NaN for no model"
        )
    return predictions


def main(predict: Callable[[Task], Matrix]) -> None:
    """Runs an entrant from the command line.

    Args:
        predict: Its one function: from a task to the predictions of every test row.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("task", type=pathlib.Path, help="folder of the task")
    parser.add_argument("output", type=pathlib.Path, help=".npy file for the predictions")
    arguments = parser.parse_args()
    task = read(arguments.task)
    np.save(arguments.output, checked(np.asarray(predict(task), np.float32), len(task.test_silo)))
