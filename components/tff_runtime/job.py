"""The contract between the two interpreters: a job directory, described by plain dataclasses and JSON.

A job directory holds

    job.json              the `TrainingJob`, written by the TFX side
    module.py             the user's module file
    coalitions.json       coalitions of silos, to be trained instead of all silos, see `coalition_training`
    data/<split>/<n>.npy  one array per feature, the rows of all silos one after the other
    progress.jsonl        one event a line, appended by the TFF side
    initial_weights.npz   weights to start from, `arr_<n>` for variable n of the Keras model, if not its own
    checkpoints/          program state after each round
    result/               written under another name and renamed when it is whole
    error.json            why there is no result

Only the standard library is imported, so that both sides can read this module.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from tff_runtime.settings import (
    aggregations,
    algorithms,
    cohorts,
    encoding,
    executions,
    ledgers,
    personalizations,
    privacy,
    schedules,
    stopping,
)

FORMAT_VERSION = 4
SERVER_OPTIMIZERS = ("sgd", "adagrad", "adam", "yogi")
# The choices among settings classes, and what each is when nothing is said.
CHOICES: dict[str, tuple[tuple[type, ...], Any]] = {
    "algorithm": (algorithms.ALTERNATIVES, algorithms.FedAvg()),
    "aggregation": (aggregations.ALTERNATIVES, aggregations.Mean()),
    "privacy": (privacy.ALTERNATIVES, privacy.NoPrivacy()),
    "personalization": (personalizations.ALTERNATIVES, personalizations.NoPersonalization()),
    "cohort": (cohorts.ALTERNATIVES, cohorts.AllSilos()),
    "client_schedule": (schedules.ALTERNATIVES, schedules.Constant()),
    "server_schedule": (schedules.ALTERNATIVES, schedules.Constant()),
    "stopping": (stopping.ALTERNATIVES, stopping.LastRound()),
    "execution": (executions.ALTERNATIVES, executions.InProcess()),
    "ledger": (ledgers.ALTERNATIVES, ledgers.SummaryLedger()),
}


@dataclasses.dataclass(frozen=True)
class StoredFeature:
    """Where one feature's values lie.

    Attributes:
        dtype: `float32` or `int64`.
        shape: Shape of one row; `()` for a scalar.
        file: Name of the `.npy` file in each split's folder; its array has shape `(rows, *shape)`.
    """

    dtype: str
    shape: tuple[int, ...]
    file: str


@dataclasses.dataclass(frozen=True)
class SiloRows:
    """The rows of one silo in one split: `start <= row < start + count` of every array of the split."""

    silo: str
    start: int
    count: int


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """What the TFF side is asked to do.

    Attributes:
        features: Every feature that a model may take, by name.
        label_key: Name of the label.
        label: Where the labels lie; shape `(1,)` for a scalar label.
        silos: The silos of each split, by split name.
        train_split: Split to train on.
        evaluation_split: Split to measure on, or None.
        rounds: Number of rounds, at least 0.
        local_epochs: Passes over a silo's rows in one round, at least 1.
        batch_size: Rows in a batch of a silo's training; the last batch of an epoch may be smaller.
        client_learning_rate: Learning rate of the silos' SGD, positive.
        silo_weighting: One of `silo_weights.WEIGHTINGS`: how much a silo's update counts.
        maximum_silo_share: Largest share of the weight that one silo may have, in (0, 1].
        server_optimizer: One of `SERVER_OPTIMIZERS`.
        server_learning_rate: Learning rate of the server optimizer, positive.
        server_momentum: Momentum of the server's `sgd`, in [0, 1).
        evaluation_interval: The model is measured on every silo after each so many rounds, and after the last one.
        checkpoint_interval: Program state is saved after each so many rounds, and after the last one.
        local_models: Whether each silo also trains a model alone, by the same steps from the same initial weights.
        seed: Seed of the initial weights and of the order of rows.
        custom_config: Passed to the user's `model_fn`.
        algorithm: One of `settings.algorithms`.
        aggregation: One of `settings.aggregations`.
        privacy: One of `settings.privacy`.
        personalization: One of `settings.personalizations`.
        cohort: One of `settings.cohorts`.
        client_schedule: One of `settings.schedules`, of the silos' learning rate.
        server_schedule: One of `settings.schedules`, of the server's learning rate.
        stopping: One of `settings.stopping`.
        execution: One of `settings.executions`.
        ledger: One of `settings.ledgers`.
    """

    features: Mapping[str, StoredFeature]
    label_key: str
    label: StoredFeature
    silos: Mapping[str, tuple[SiloRows, ...]]
    train_split: str
    evaluation_split: str | None
    rounds: int
    local_epochs: int
    batch_size: int
    client_learning_rate: float
    silo_weighting: str
    maximum_silo_share: float
    server_optimizer: str
    server_learning_rate: float
    server_momentum: float
    evaluation_interval: int
    checkpoint_interval: int
    local_models: bool
    seed: int
    custom_config: Mapping[str, Any]
    algorithm: Any = CHOICES["algorithm"][1]
    aggregation: Any = CHOICES["aggregation"][1]
    privacy: Any = CHOICES["privacy"][1]
    personalization: Any = CHOICES["personalization"][1]
    cohort: Any = CHOICES["cohort"][1]
    client_schedule: Any = CHOICES["client_schedule"][1]
    server_schedule: Any = CHOICES["server_schedule"][1]
    stopping: Any = CHOICES["stopping"][1]
    execution: Any = CHOICES["execution"][1]
    ledger: Any = CHOICES["ledger"][1]

    def to_json(self) -> str:
        """Returns the job as JSON text."""
        choices = {name: encoding.encode(getattr(self, name)) for name in CHOICES}
        return json.dumps({"format": FORMAT_VERSION, **dataclasses.asdict(self), **choices}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> TrainingJob:
        """Reads a job.

        Args:
            text: What `to_json` returned.

        Returns:
            The job.

        Raises:
            ValueError: The text is of another version of the contract.
        """
        fields = json.loads(text)
        version = fields.pop("format", None)
        if version != FORMAT_VERSION:
            raise ValueError(f"job.json has format {version}; this tff_runtime reads format {FORMAT_VERSION}")
        fields["features"] = {name: _stored_feature(value) for name, value in fields["features"].items()}
        fields["label"] = _stored_feature(fields["label"])
        fields["silos"] = {split: tuple(SiloRows(**silo) for silo in silos) for split, silos in fields["silos"].items()}
        choices = {
            name: encoding.decode(fields.pop(name), alternatives, name) for name, (alternatives, _) in CHOICES.items()
        }
        return cls(**fields, **choices)


def _stored_feature(fields: Mapping[str, Any]) -> StoredFeature:
    return StoredFeature(dtype=fields["dtype"], shape=tuple(fields["shape"]), file=fields["file"])


class JobError(Exception):
    """A job that cannot go on, for a reason that its user can act on.

    Attributes:
        kind: Name of the reason, for example `NonFiniteUpdate`.
        silo: The silo it is about, if it is about one.
        round_number: The round it happened in (the first is 1), if it happened in one.
    """

    def __init__(self, kind: str, message: str, silo: str | None = None, round_number: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.silo = silo
        self.round_number = round_number

    def to_json(self) -> str:
        """Returns the error as the text of `error.json`."""
        return json.dumps(
            {"type": self.kind, "message": str(self), "silo": self.silo, "round": self.round_number}, indent=1
        )

    @classmethod
    def from_json(cls, text: str) -> JobError:
        """Reads what `to_json` wrote."""
        fields = json.loads(text)
        return cls(fields["type"], fields["message"], fields["silo"], fields["round"])


class JobDirectory:
    """The files of one job."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self.job = self.path / "job.json"
        self.module = self.path / "module.py"
        self.coalitions = self.path / "coalitions.json"
        self.data = self.path / "data"
        self.progress = self.path / "progress.jsonl"
        self.initial_weights = self.path / "initial_weights.npz"
        self.checkpoints = self.path / "checkpoints"
        self.result = self.path / "result"
        self.unfinished_result = self.path / "result.unfinished"
        self.error = self.path / "error.json"
        self.log = self.path / "tff.log"

    def array(self, split: str, stored: StoredFeature) -> pathlib.Path:
        """Returns the file of one feature of one split."""
        return self.data / split / stored.file

    def read_job(self) -> TrainingJob:
        """Reads `job.json`."""
        return TrainingJob.from_json(self.job.read_text("utf-8"))

    def report(self, event: str, **fields: Any) -> None:
        """Appends an event to `progress.jsonl`."""
        with self.progress.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **fields}) + "\n")
