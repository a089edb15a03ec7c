"""The silos' updates as files, for whoever wants to know what each silo contributed.

round-00001.npz   of one round, S silos whose update is finite and P trainable weights:
                  silos     unicode [S]
                  weights   float32 [S], as the aggregation uses them, not normalised
                  global    float32 [P], the trainable weights before the round
                  updates   float16 [S, P] and scales float32 [S]: silo i's update is updates[i] * scales[i], where
                            scales[i] is its largest absolute value; 0 for a zero update
index.json        written last: format, the trainable variables in the order in which they are flattened, parameters P,
                  rounds that are stored, and omitted_rounds

An update is what the silo sent, in the direction that the weights go: for local training its weights after less those
before. Weights are flattened each in C order, one after the other. With `LocalLayers` P counts the local layers too:
the global model keeps their initial weights, and their updates are 0.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tff_runtime import functional_model
from tff_runtime.learning import sent_updates

FORMAT = 1
_ROUND = re.compile(r"round-(\d+)\.npz")
# Of a file's five arrays: what NumPy and the zip format write beside their values.
_HEADER_BYTES = 4096


class StoredUpdates:
    """The updates of one training."""

    def __init__(self, folder: pathlib.Path, maximum_bytes: int, report: Callable[..., None]) -> None:
        """Takes the place.

        Args:
            folder: Made if it is missing.
            maximum_bytes: The files of the rounds are no larger together: from the first round on that would be too
                much, rounds are left out.
            report: Told once of that, with the event's name and fields.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._maximum_bytes = maximum_bytes
        self._report = report
        self._is_full = False

    @property
    def rounds(self) -> list[int]:
        """Numbers of the rounds that are stored, ascending."""
        matches = [_ROUND.fullmatch(path.name) for path in self._folder.iterdir()]
        return sorted(int(match[1]) for match in matches if match)

    def keep_rounds(self, last_round: int) -> None:
        """Drops the rounds that will be run again."""
        for round_number in self.rounds:
            if round_number > last_round:
                self._file(round_number).unlink()
        # A round is left out only after one that was.
        self._is_full = self.rounds != list(range(1, last_round + 1))

    def add_round(
        self,
        round_number: int,
        silos: Sequence[str],
        sent: sent_updates.SentUpdates,
        is_finite: np.ndarray,
        trainable: Sequence[np.ndarray],
    ) -> None:
        """Stores one round, if there is room.

        Args:
            round_number: The round; the first is 1.
            silos: The silos of the cohort.
            sent: What they sent, in the same order.
            is_finite: Whether it was finite; what was not is left out.
            trainable: Trainable weights before the round.
        """
        vectors = sent.vectors[is_finite]
        scales = np.abs(vectors).max(axis=1)
        arrays = {
            "silos": np.asarray(silos, np.str_)[is_finite],
            "weights": sent.weights[is_finite],
            "global": sent_updates.flat(trainable),
            "updates": (vectors / np.where(scales > 0, scales, 1)[:, np.newaxis]).astype(np.float16),
            "scales": scales,
        }
        needed = sum(array.nbytes for array in arrays.values()) + _HEADER_BYTES
        used = sum(self._file(stored).stat().st_size for stored in self.rounds)
        if not self._is_full and used + needed <= self._maximum_bytes:
            _write(self._file(round_number), arrays)
        elif not self._is_full:
            self._is_full = True
            self._report("updates left out", round=round_number, maximum_bytes=self._maximum_bytes)

    def finish(self, last_round: int, model: functional_model.FunctionalModel) -> None:
        """Writes the index.

        Args:
            last_round: The last round that was run.
            model: The model whose weights are updated.
        """
        stored = self.rounds
        index = {
            "format": FORMAT,
            "variables": [
                {"name": name, "shape": list(spec.shape)}
                for name, spec in zip(model.names, model.trainable, strict=True)
            ],
            "parameters": sent_updates.parameters(model),
            "rounds": stored,
            "omitted_rounds": sorted(set(range(1, last_round + 1)) - set(stored)),
        }
        (self._folder / "index.json").write_text(json.dumps(index), "utf-8")

    def _file(self, round_number: int) -> pathlib.Path:
        return self._folder / f"round-{round_number:05d}.npz"


def _write(path: pathlib.Path, arrays: dict[str, Any]) -> None:
    """Writes a file that is there whole or not at all."""
    temporary = path.with_name(path.name + ".unfinished")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)
