"""What the comparison gives a contender, and what it gets back.

A contender is a program `python -m benchmarks.trainer.contenders.NAME WORKLOAD ROUNDS RESULT [OPTION ...]`. It reads
the workload's folder, trains the given number of rounds and writes the result's folder.

Only NumPy and the standard library are imported: this module runs in the environment of every contender.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Workload:
    """A federated training, down to the rows of every batch.

    The model is a network of dense layers with a ReLU between them and one logit at the end; its loss is the mean
    binary cross-entropy of a batch. A round is one pass of SGD over every silo's rows from the global weights, then
    the mean of the silos' weights by their rows.

    Attributes:
        name: Name of the workload.
        batch_size: Rows in a batch; the last batch of a silo holds the rest.
        learning_rate: Learning rate of SGD.
        seed: Seed that `order` was drawn from.
        weights: Initial weights, kernel and bias of each layer in turn; float32.
        features: float32 of shape (rows, features), silo after silo.
        labels: 0 or 1 as float32 of shape (rows, 1).
        counts: Rows of each silo; int64 of shape (silos,).
        order: int32 of shape (rounds, rows). In each round, a silo's part of it names that silo's rows of `features` in
            the order of training.
    """

    name: str
    batch_size: int
    learning_rate: float
    seed: int
    weights: Sequence[np.ndarray]
    features: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    order: np.ndarray

    @functools.cached_property
    def parts(self) -> list[slice]:
        """Each silo's part of `features`, of `labels` and of a row of `order`."""
        ends = np.cumsum(self.counts)
        return [slice(int(end - count), int(end)) for count, end in zip(self.counts, ends, strict=True)]

    @property
    def folder(self) -> pathlib.Path:
        """Where the workload was read from."""
        return pathlib.Path(self.features.filename).parent  # type: ignore[attr-defined]

    def batches(self, count: int) -> list[slice]:
        """Returns the batches of a silo with so many rows, as parts of its rows in the order of training."""
        return [slice(start, start + self.batch_size) for start in range(0, count, self.batch_size)]

    def write(self, folder: pathlib.Path) -> None:
        """Writes the workload."""
        folder.mkdir(parents=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        _write_weights(folder, self.weights)
        fields = {name: getattr(self, name) for name in _SETTINGS}
        (folder / "workload.json").write_text(json.dumps(fields), "utf-8")

    @classmethod
    def read(cls, folder: pathlib.Path) -> Workload:
        """Reads a workload; its arrays are memory-mapped."""
        fields = json.loads((folder / "workload.json").read_text("utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        return cls(weights=_read_weights(folder), **fields, **arrays)


_SETTINGS = ("name", "batch_size", "learning_rate", "seed")
_ARRAYS = ("features", "labels", "counts", "order")


@dataclasses.dataclass(frozen=True)
class Result:
    """What a contender hands back.

    Attributes:
        weights: Weights after the last round, in the order of the workload's.
        seconds: Wall-clock seconds of each round: from weights and rows in memory or in memory-mapped files to the new
            weights. Evaluation is not part of it.
        versions: Version of each package that the contender stands for.
    """

    weights: Sequence[np.ndarray]
    seconds: Sequence[float]
    versions: Mapping[str, str]

    def write(self, folder: pathlib.Path) -> None:
        """Writes the result; `result.json` last, so that a result that can be read is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        _write_weights(folder, self.weights)
        fields = {"seconds": list(self.seconds), "versions": dict(self.versions)}
        (folder / "result.json").write_text(json.dumps(fields), "utf-8")

    @classmethod
    def read(cls, folder: pathlib.Path) -> Result:
        """Reads a result."""
        return cls(weights=_read_weights(folder), **json.loads((folder / "result.json").read_text("utf-8")))


def run_contender(train: Callable[..., Result]) -> None:
    """Is the main program of a contender.

    Args:
        train: Trains a workload for a number of rounds, under the contender's options, if it takes any.
    """
    parser = argparse.ArgumentParser(description="Trains one workload.")
    parser.add_argument("workload", type=pathlib.Path, help="folder of the workload")
    parser.add_argument("rounds", type=int, help="number of rounds")
    parser.add_argument("result", type=pathlib.Path, help="folder for the result")
    parser.add_argument("options", nargs="*", help="options of this contender")
    arguments = parser.parse_args()
    result = train(Workload.read(arguments.workload), arguments.rounds, *arguments.options)
    result.write(arguments.result)


def _write_weights(folder: pathlib.Path, weights: Sequence[np.ndarray]) -> None:
    for number, values in enumerate(weights):
        np.save(folder / f"weights_{number}.npy", np.asarray(values, np.float32))


def _read_weights(folder: pathlib.Path) -> list[np.ndarray]:
    return [np.load(folder / f"weights_{number}.npy") for number in range(len(list(folder.glob("weights_*.npy"))))]
