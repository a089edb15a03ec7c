"""Trainings by the FederatedTrainer's own executor, kept by what they were made from so that questions share them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import psutil
import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from benchmarks.data import tables
from benchmarks.suite import model_module, silo_files
from benchmarks.suite.data import manifests, populations
from benchmarks.trainer import process_tree
from tff_runtime.settings import encoding
from tfx_federated import FederatedTrainer, artifacts, whole_files
from tfx_federated.federated_trainer import executor

REPOSITORY = pathlib.Path(__file__).parents[2]
# What decides a training's numbers besides its settings.
_PROGRAM = ("components/tff_runtime", "components/tfx_federated/federated_trainer", "benchmarks/suite/model_module.py")
_SAMPLING_SECONDS = 0.2
# Each takes about a gibibyte.
MOST_AT_ONCE = 4
_ROWS_PER_PREDICTION = 4096
TRAINING, VALIDATION = "train", "validation"
_RECORD_FILE, _PREDICTIONS_FILE = "training.json", "predictions.npz"
POOLED_SILO = "all silos"


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained.

    Attributes:
        manifest: The population.
        settings: Arguments of `FederatedTrainer`, other than its inputs; values as it takes them.
        without: Silos that take no part.
        only: Silos that take part; empty for all.
        most_rows: Rows that a silo trains on at most; None for all. They are drawn by the manifest's seed, and fewer
            rows are among more.
        is_pooled: Whether the rows of all silos are one silo's.
        is_validated: Whether a fifth of the rows chooses an epoch, see `populations.with_validation`. So that trainings
            compare, all are, but those of silos that are too small for it.
        base: The training whose model this one starts from.
    """

    manifest: manifests.Manifest
    settings: Mapping[str, Any]
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    most_rows: int | None = None
    is_pooled: bool = False
    is_validated: bool = True
    base: Training | None = None

    def describe(self) -> dict[str, Any]:
        """Returns what decides the result, as JSON values."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        settings = {
            name: encoding.encode(value) if dataclasses.is_dataclass(value) else value
            for name, value in sorted(self.settings.items())
        }
        return fields | {
            "manifest": self.manifest.key,
            "settings": settings,
            "base": self.base.describe() if self.base else None,
        }

    @property
    def key(self) -> str:
        """A digest of what decides the result, the program among it."""
        text = json.dumps({"program": _program_digest(), **self.describe()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclasses.dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        folder: Holds the artifacts `model`, `federated_run` and perhaps `silo_models`.
        federated: Predictions of the common model for the population's test rows, silo after silo, [rows].
        own: Predictions of each silo's own model for the same rows, NaN where it has none, [rows]; None if there are no
            such models.
        seconds: Wall time of the component.
        peak_mebibytes: Largest sampled memory of the TFF process and its children, and of those beside it.
    """

    folder: pathlib.Path
    federated: tables.Matrix
    own: tables.Matrix | None
    seconds: float
    peak_mebibytes: float

    @property
    def run_uri(self) -> str:
        """URI of the FederatedRun."""
        return str(self.folder / "federated_run")


class Trainings:
    """Trains, or finds what was trained."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Keeps trainings in a folder; `count` says how many were trained.

        Args:
            folder: May hold trainings of an earlier call.
        """
        self._folder = folder
        self._lock = threading.Lock()
        self._latest: populations.Population | None = None
        self._manifests: dict[str, str] = {}
        self.count = 0

    @property
    def manifest_texts(self) -> list[str]:
        """JSON text of the manifests of all populations so far, with their checksums."""
        return list(self._manifests.values())

    def population(self, manifest: manifests.Manifest) -> populations.Population:
        """Returns the population of a manifest. The latest one is kept: they are large."""
        with self._lock:
            if self._latest is None or self._latest.manifest.key != manifest.key:
                self._latest = None
                self._latest = populations.make(manifest)
                self._manifests[manifest.key] = self._latest.manifest.to_json()
            return self._latest

    def all(self, asked: Sequence[Training]) -> None:
        """Trains what was not trained before, several at once: most of a short training is the start of one process.

        Args:
            asked: What to train; what they start from is trained first.

        Raises:
            ValueError: The trainer refuses a setting.
        """
        bases = [training.base for training in asked if training.base]
        if bases:
            self.all(bases)
        missing = {training.key: training for training in asked if not self._is_trained(training)}
        with futures.ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), MOST_AT_ONCE)) as pool:
            list(pool.map(self, missing.values()))

    def _is_trained(self, training: Training) -> bool:
        return (self._folder / training.key / _RECORD_FILE).exists()

    def __call__(self, training: Training) -> Trained:
        """Returns what came of a training, which is trained unless it was before.

        Args:
            training: What to train.

        Raises:
            ValueError: The trainer refuses a setting.
        """
        folder = self._folder / training.key
        if self._is_trained(training):
            return read(folder)
        base = self(training.base) if training.base else None
        shutil.rmtree(folder, ignore_errors=True)
        trained = train(training, self.population(training.manifest), folder, base)
        with self._lock:
            self.count += 1
        return trained


def train(
    training: Training, population: populations.Population, folder: pathlib.Path, base: Trained | None = None
) -> Trained:
    """Runs the component, and applies what it trained to the population's test rows.

    Args:
        training: What to train.
        population: The population of its manifest.
        folder: A folder that is not there yet; takes the artifacts, the predictions and, when all is done, a record.
        base: What came of the training's base.

    Raises:
        ValueError: The trainer refuses a setting.
    """
    inputs = {name: [artifact] for name, artifact in _write_inputs(training, population, folder / "inputs").items()}
    if base is not None:
        inputs["base_model"] = [_artifact(standard_artifacts.Model(), base.folder / "model")]
    component = _component(training)
    outputs = {name: [_artifact(channel.type(), folder / name)] for name, channel in component.outputs.items()}
    start = time.monotonic()
    with _peak_memory() as peak:
        context = base_executor.BaseExecutor.Context(stateful_working_dir=str(folder / "stateful"))
        executor.Executor(context).Do(inputs, outputs, dict(component.exec_properties))
    seconds = time.monotonic() - start
    models = {"federated": "model", "own": "silo_models"}
    predictions = {
        name: _predict(outputs[model][0], population.test) for name, model in models.items() if model in outputs
    }
    np.savez(folder / _PREDICTIONS_FILE, allow_pickle=False, **predictions)
    shutil.rmtree(folder / "inputs")
    shutil.rmtree(folder / "stateful")
    record = {"training": training.describe(), "seconds": seconds, "peak_mebibytes": peak[0]}
    whole_files.write_json(str(folder / _RECORD_FILE), record)
    return read(folder)


def read(folder: pathlib.Path) -> Trained:
    """Reads what `train` wrote."""
    record = whole_files.read_json(str(folder / _RECORD_FILE))
    with np.load(folder / _PREDICTIONS_FILE) as arrays:
        return Trained(folder, arrays["federated"], arrays.get("own"), record["seconds"], record["peak_mebibytes"])


def training_rows(training: Training, population: populations.Population) -> list[tables.SiloRows]:
    """Returns the rows that a training is given, validation rows among them.

    Args:
        training: Which silos take part, and how many of their rows.
        population: Its population.
    """
    silos = [
        silo
        for silo in population.training
        if silo.name not in training.without and (not training.only or silo.name in training.only)
    ]
    if training.most_rows is not None:
        seed = training.manifest.seed
        silos = [
            populations.part(silo, np.sort(populations.row_order(silo, seed)[: training.most_rows])) for silo in silos
        ]
    return silos


def _write_inputs(
    training: Training, population: populations.Population, folder: pathlib.Path
) -> dict[str, types.Artifact]:
    silos = training_rows(training, population)
    splits = {TRAINING: silos}
    if training.is_validated:
        train, validation = populations.with_validation(silos, training.manifest.seed)
        splits = {TRAINING: train, VALIDATION: validation}
    if training.is_pooled:
        splits = {split: [_pooled(rows)] for split, rows in splits.items()}
    return {
        "silo_examples": silo_files.write_silo_examples(str(folder / "silo_examples"), splits),
        "schema": silo_files.write_schema(str(folder / "schema"), silos[0].features.shape[1]),
    }


def _pooled(silos: Sequence[tables.SiloRows]) -> tables.SiloRows:
    features = np.concatenate([silo.features for silo in silos])
    return tables.SiloRows(POOLED_SILO, features, np.concatenate([silo.labels for silo in silos]))


def _component(training: Training) -> FederatedTrainer:
    """Returns the component, for its checks of the settings and its execution properties."""
    with_base = {"base_model": types.Channel(type=standard_artifacts.Model)} if training.base else {}
    splits = {"train_split": TRAINING, "evaluation_split": VALIDATION if training.is_validated else None}
    return FederatedTrainer(
        silo_examples=types.Channel(type=artifacts.SiloExamples),
        schema=types.Channel(type=standard_artifacts.Schema),
        module_file=model_module.__file__,
        label_key=silo_files.LABEL_KEY,
        **with_base,
        **{**splits, **training.settings},
    )


def _artifact(artifact: types.Artifact, folder: pathlib.Path) -> types.Artifact:
    artifact.uri = str(folder)
    os.makedirs(folder, exist_ok=True)
    return artifact


def _predict(model: types.Artifact, silos: Sequence[tables.SiloRows]) -> tables.Matrix:
    """Returns the predictions of an exported model for rows as serialized tf.Examples, [rows]."""
    signature = tf.saved_model.load(path_utils.serving_model_path(model.uri)).signatures["serving_default"]
    records = [record for silo in silos for record in silo_files.serialized(silo)]
    batches = [
        signature(examples=tf.constant(records[start : start + _ROWS_PER_PREDICTION]))
        for start in range(0, len(records), _ROWS_PER_PREDICTION)
    ]
    return np.concatenate([next(iter(batch.values())).numpy()[:, 0] for batch in batches])


@contextlib.contextmanager
def _peak_memory() -> Iterator[list[float]]:
    """Samples the memory of all children; the list's only value is the largest so far, in MiB."""
    peak, over = [0.0], threading.Event()

    def sample() -> None:
        while not over.wait(_SAMPLING_SECONDS):
            children = psutil.Process().children(recursive=True)
            peak[0] = max(peak[0], process_tree.resident_mebibytes(children))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


@functools.cache
def _program_digest() -> str:
    digest = hashlib.sha256()
    for place in _PROGRAM:
        path = REPOSITORY / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()
