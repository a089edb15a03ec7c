"""What is written down of each round: JSON Lines files, and TensorBoard summaries beside them.

rounds.jsonl         round, seconds, silos that took part, rows, mean loss in training, the silos of the cohort whose
                     worker was lost (`lost_silos`), those whose update was not finite and left out
                     (`rejected_silos`), and those whose own was not (`rejected_local_models`); under privacy, in
                     rounds of evaluation, the largest `epsilon` that a silo has spent until then
silo_updates.jsonl   round, silo, rows, weight, loss in training, norm of the update and its cosine to the mean update,
                     of each silo of the cohort; with a detailed ledger the losses of the silo's model before and
                     after its local training too
silo_metrics.jsonl   round, split, model (`federated`, `local` or `personal`), silo, rows and the metrics of that model
                     on that silo's rows
updates/             with a detailed ledger, see `stored_updates`
privacy.json         what was spent, see `privacy.ledger.PrivacyLedger.result`; only under privacy

A number that is not finite, or that privacy forbids to tell, is null; what is about single silos is left out where
privacy forbids it.
"""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tff_runtime import job as job_lib


class Records:
    """The records of one training."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Writes into a folder, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._rounds = folder / "rounds.jsonl"
        self._silo_updates = folder / "silo_updates.jsonl"
        self._silo_metrics = folder / "silo_metrics.jsonl"
        self._privacy = folder / "privacy.json"
        self._summaries = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def keep_rounds(self, last_round: int) -> None:
        """Drops what an ended run wrote about rounds that will be run again."""
        for file in (self._rounds, self._silo_updates, self._silo_metrics):
            lines = file.read_text("utf-8").splitlines() if file.exists() else []
            kept = [line for line in lines if json.loads(line)["round"] <= last_round]
            file.write_text("".join(line + "\n" for line in kept), "utf-8")

    def add_round(
        self, round_number: int, fields: Mapping[str, Any], silo_updates: Iterable[Mapping[str, Any]]
    ) -> None:
        """Records the training of one round, and of each silo in it."""
        _append(self._rounds, [{"round": round_number, **fields}])
        _append(self._silo_updates, ({"round": round_number, **update} for update in silo_updates))
        with self._summaries.as_default(step=round_number):
            for name, value in fields.items():
                if isinstance(value, (int, float)):
                    tf.summary.scalar(f"train/{name}", value)
        self._summaries.flush()

    def add_evaluation(
        self,
        round_number: int,
        split: str,
        model: str,
        silos: Sequence[job_lib.SiloRows],
        measured: Sequence[Mapping[str, float]],
    ) -> None:
        """Records a model's metrics on each silo's rows of one split."""
        place = {"round": round_number, "split": split, "model": model}
        _append(
            self._silo_metrics,
            (
                {**place, "silo": silo.silo, "rows": silo.count, **metrics}
                for silo, metrics in zip(silos, measured, strict=True)
            ),
        )
        with self._summaries.as_default(step=round_number):
            for name in measured[0] if measured else ():
                values = [metrics[name] for metrics in measured if math.isfinite(metrics[name])]
                tf.summary.histogram(f"{split}/{model}/{name}_over_silos", values)
        self._summaries.flush()

    def write_privacy(self, spent: Mapping[str, Any] | None) -> None:
        """Records what was spent of the privacy budgets; nothing without privacy."""
        if spent is not None:
            self._privacy.write_text(json.dumps(spent, indent=1), "utf-8")


def finite(value: float) -> float | None:
    """Returns a number, or None for one that JSON does not know."""
    return value if math.isfinite(value) else None


def _append(file: pathlib.Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        for row in rows:
            plain = {name: finite(value) if isinstance(value, float) else value for name, value in row.items()}
            lines.write(json.dumps(plain) + "\n")
