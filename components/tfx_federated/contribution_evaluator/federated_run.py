"""The ledger of a FederatedRun: who took part in which round and with what, and the updates that were sent.

A silo that joined late, or was not asked, has NaN in the rounds in which it did not take part.
"""

from __future__ import annotations

import functools
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from tfx.dsl.io import fileio

from tfx_federated import whole_files

# [rounds, silos]; NaN where nothing is known.
Array = npt.NDArray[np.float64]
# Weights of models or updates of silos, flattened variable after variable.
Vectors = npt.NDArray[np.float32]

UPDATES_FORMAT = 1

_UPDATES = "updates"
_NUMBERS = ("weight", "rows", "loss", "loss_before", "loss_after", "update_norm", "cosine")
_LINES = pa.schema([("round", pa.int64()), ("silo", pa.string()), *((name, pa.float64()) for name in _NUMBERS)])
# Half-precision numbers change a norm by less than a thousandth.
_NORM_TOLERANCE = 0.01


class LedgerError(ValueError):
    """A FederatedRun is not whole, or its files are not of one training."""


class StoredRound(NamedTuple):
    """The updates of one round.

    Attributes:
        silos: The silos whose update was finite, [cohort].
        weights: How much each counts in the mean, not normalised, [cohort].
        global_weights: Trainable weights that the round started with, [parameters].
        updates: Weights of each silo after its training less those before, [cohort, parameters].
    """

    silos: Sequence[str]
    weights: Vectors
    global_weights: Vectors
    updates: Vectors


@dataclass(frozen=True)
class Ledger:
    """What a FederatedRun tells. Arrays are [rounds, silos].

    Attributes:
        uri: URI of the FederatedRun.
        settings: The settings of the training, `settings.json`.
        silos: Names of the silos of the training.
        rounds: Numbers of the rounds that are recorded, ascending.
        weight: Weight in the aggregate, not normalised.
        rows: Training rows.
        loss: Mean loss during local training.
        loss_before: Mean loss of the global model on the silo's training rows, before its training.
        loss_after: The same of the silo's model after it.
        update_norm: Euclidean norm of the update.
        cosine: Cosine of the update and the aggregate.
        update_rounds: Numbers of the rounds whose updates are stored, ascending; empty without a detailed ledger.
        omitted_rounds: Rounds whose updates the trainer did not store, for want of room.
    """

    uri: str
    settings: Mapping[str, Any]
    silos: Sequence[str]
    rounds: Sequence[int]
    weight: Array
    rows: Array
    loss: Array
    loss_before: Array
    loss_after: Array
    update_norm: Array
    cosine: Array
    update_rounds: Sequence[int]
    omitted_rounds: Sequence[int]

    @property
    def took_part(self) -> npt.NDArray[np.bool_]:
        """Whether the silo's update counted in the round, [rounds, silos]."""
        return np.isfinite(self.weight) & (self.weight > 0)

    @property
    def missing_rounds(self) -> list[int]:
        """Numbers of the rounds between the first and the last that no record has."""
        return sorted(set(range(1, self.rounds[-1] + 1)) - set(self.rounds))

    @property
    def is_detailed(self) -> bool:
        """Whether the training was to store updates."""
        return fileio.exists(os.path.join(self.uri, _UPDATES, "index.json"))

    @property
    def model_path(self) -> str:
        """SavedModel that predicts with given weights; see `model_function`."""
        return os.path.join(self.uri, "model_function")

    @functools.cached_property
    def place(self) -> Mapping[str, int]:
        """Position of each silo in `silos`."""
        return {silo: place for place, silo in enumerate(self.silos)}

    def updates(self, round_number: int) -> StoredRound:
        """Reads the updates of a round.

        Args:
            round_number: One of `update_rounds`.

        Raises:
            LedgerError: The file is broken, or of another training.
        """
        file = _round_file(self.uri, round_number)
        arrays = _read_arrays(file)
        silos, weights, before, updates, scales = (
            _required(arrays, name, file) for name in ("silos", "weights", "global", "updates", "scales")
        )
        stored = StoredRound(silos.tolist(), weights, before, updates.astype(np.float32) * scales[:, np.newaxis])
        self._require_same_training(file, round_number, stored)
        return stored

    def initial_weights(self) -> Vectors:
        """Returns the trainable weights before the first round, [parameters].

        Raises:
            LedgerError: The file is missing or broken.
        """
        return self._weights("initial")

    def last_round_weights(self) -> Vectors:
        """Returns the trainable weights after the last round, [parameters].

        Raises:
            LedgerError: The file is missing or broken.
        """
        return self._weights("last_round")

    def exported_weights(self) -> Vectors:
        """Returns the trainable weights of the exported model, [parameters].

        Raises:
            LedgerError: The file is missing or broken.
        """
        return self._weights("exported")

    def _weights(self, name: str) -> Vectors:
        path = os.path.join(self.uri, "weights.npz")
        return _required(_read_arrays(path), name, path)

    def _require_same_training(self, file: str, round_number: int, stored: StoredRound) -> None:
        if unknown := sorted(set(stored.silos) - set(self.place)):
            raise LedgerError(f"{file} has the silo {unknown[0]!r}, which settings.json does not have: {_OTHER_RUN}")
        recorded = self.update_norm[self.rounds.index(round_number), [self.place[silo] for silo in stored.silos]]
        norms = np.linalg.norm(stored.updates, axis=1)
        known = np.isfinite(recorded)
        differ = known & (np.abs(norms - recorded) > _NORM_TOLERANCE * np.maximum(recorded, 1e-6))
        if differ.any():
            silo = stored.silos[int(np.argmax(differ))]
            raise LedgerError(
                f"{file}: the update of silo {silo!r} has another norm than silo_updates.jsonl says: {_OTHER_RUN}"
            )


_OTHER_RUN = "the files are of different trainings; run FederatedTrainer again"


def read(uri: str) -> Ledger:
    """Reads the ledger of a FederatedRun artifact; the updates are read later, round by round.

    Raises:
        LedgerError: The artifact is not whole, or its files contradict each other.
    """
    settings = _read_settings(uri)
    silos = list(settings["silos"])
    rounds = _read_rounds(uri)
    index = _read_index(uri)
    stored = [number for number in index["rounds"] if number in rounds and fileio.exists(_round_file(uri, number))]
    return Ledger(
        uri=uri,
        settings=settings,
        silos=silos,
        rounds=rounds,
        **_read_numbers(os.path.join(uri, "silo_updates.jsonl"), rounds, silos),
        update_rounds=stored,
        omitted_rounds=sorted({*index["rounds"], *index["omitted_rounds"]} - set(stored)),
    )


def _read_settings(uri: str) -> dict[str, Any]:
    path = os.path.join(uri, "settings.json")
    if not fileio.exists(path):
        raise LedgerError(f"{uri} has no settings.json: FederatedTrainer did not finish; run it again")
    settings = whole_files.read_json(path)
    if not settings.get("silos"):
        raise LedgerError(f"{path} names no silos; run FederatedTrainer again")
    return settings


def _read_rounds(uri: str) -> list[int]:
    path = os.path.join(uri, "rounds.jsonl")
    if not fileio.exists(path):
        raise LedgerError(f"{uri} has no rounds.jsonl; run FederatedTrainer again")
    with fileio.open(path, "rb") as file:
        rounds = [json.loads(line)["round"] for line in file.read().decode("utf-8").splitlines()]
    if not rounds:
        raise LedgerError(f"{path} has no round: no silo contributed to the model; give a run with rounds")
    return sorted(set(rounds))


def _read_index(uri: str) -> dict[str, Any]:
    path = os.path.join(uri, _UPDATES, "index.json")
    if not fileio.exists(path):
        return {"rounds": [], "omitted_rounds": []}
    index = whole_files.read_json(path)
    if index["format"] != UPDATES_FORMAT:
        raise LedgerError(
            f"{path} has format {index['format']}; this version reads {UPDATES_FORMAT}: run FederatedTrainer again"
        )
    return index


def _read_numbers(path: str, rounds: Sequence[int], silos: Sequence[str]) -> dict[str, Array]:
    arrays = {name: np.full((len(rounds), len(silos)), np.nan) for name in _NUMBERS}
    lines = _read_lines(path)
    if lines is None:
        return arrays
    row = pc.index_in(lines["round"], pa.array(rounds, pa.int64()))
    column = pc.index_in(lines["silo"], pa.array(silos, pa.string()))
    for name, places in (("round", row), ("silo", column)):
        if places.null_count:
            stranger = lines[name].filter(pc.is_null(places))[0].as_py()
            raise LedgerError(f"{path} has the {name} {stranger!r}, which the other records do not have: {_OTHER_RUN}")
    places = row.to_numpy() * len(silos) + column.to_numpy()
    if len(np.unique(places)) < len(places):
        raise LedgerError(f"{path} has a silo twice in one round: {_OTHER_RUN}")
    for name, array in arrays.items():
        np.put(array, places, lines[name].to_numpy(zero_copy_only=False))
    return arrays


def _read_lines(path: str) -> pa.Table | None:
    if not fileio.exists(path):
        return None
    with fileio.open(path, "rb") as file:
        content = file.read()
    if not content.strip():
        return None
    options = pyarrow.json.ParseOptions(explicit_schema=_LINES, unexpected_field_behavior="ignore")
    try:
        return pyarrow.json.read_json(pa.BufferReader(content), parse_options=options).combine_chunks()
    except pa.ArrowInvalid as error:
        raise LedgerError(f"{path} is no ledger ({error}); run FederatedTrainer again") from error


def _round_file(uri: str, round_number: int) -> str:
    return os.path.join(uri, _UPDATES, f"round-{round_number:05d}.npz")


def _read_arrays(path: str) -> dict[str, npt.NDArray]:
    if not fileio.exists(path):
        raise LedgerError(
            f"{path} is missing: the files are not whole, or of an older version; run FederatedTrainer again"
        )
    try:
        with fileio.open(path, "rb") as file, np.load(io.BytesIO(file.read()), allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise LedgerError(f"{path} is broken ({error}); run FederatedTrainer again") from error


def _required(arrays: Mapping[str, npt.NDArray], name: str, path: str) -> npt.NDArray:
    if name not in arrays:
        raise LedgerError(f"{path} has no array {name!r}; run FederatedTrainer again")
    return arrays[name]
