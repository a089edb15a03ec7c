"""The round loop: trains, measures, records and saves program state, and goes on where a former run was ended."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime import model as model_lib
from tff_runtime import silo_data
from tff_runtime.learning import federated_averaging, local_training, silo_evaluation, variable_model

# The state after a round is kept until the next but one is there, so that a broken write loses nothing.
_CHECKPOINTS_KEPT = 2


@dataclasses.dataclass(frozen=True)
class TrainedModels:
    """What a training leaves.

    Attributes:
        weights: Weights of the federated model.
        local_weights: Each silo's own weights, in the order of the job's training silos; empty without local models.
    """

    weights: tff.learning.models.ModelWeights
    local_weights: Sequence[Any]


class Training:
    """One federated training of a job."""

    def __init__(
        self,
        directory: job_lib.JobDirectory,
        job: job_lib.TrainingJob,
        make_model: Callable[[], model_lib.FederatedModel],
        records: pathlib.Path,
    ) -> None:
        """Builds the computations.

        Args:
            directory: The job's files; program state goes to its `checkpoints`.
            job: The job.
            make_model: Makes the user's model.
            records: Folder for `rounds.jsonl`, `silo_metrics.jsonl` and TensorBoard summaries.
        """
        features = make_model().keras_model.input_names
        model_function = variable_model.build_variable_model_function(make_model, features, job)
        self._directory = directory
        self._job = job
        self._data = silo_data.SiloData(directory, job, features)
        self._silos = job.silos[job.train_split]
        self._initial_weights = variable_model.initial_weights(make_model, job.seed)
        self._process = federated_averaging.build_learning_process(model_function, job)
        self._train_alone = local_training.build_local_training(model_function, job)
        self._evaluation = silo_evaluation.build_silo_evaluation(model_function)
        self._records = Records(records)
        self._checkpoints = tff.program.FileProgramStateManager(
            directory.checkpoints, keep_total=_CHECKPOINTS_KEPT, keep_first=False
        )

    def run(self) -> TrainedModels:
        """Trains until the job's last round.

        Returns:
            The trained models.

        Raises:
            JobError: No silo's update, or no measured loss, is finite.
        """
        finished_rounds, state, local_weights = self._start()
        self._directory.report("training", finished=finished_rounds, rounds=self._job.rounds, silos=len(self._silos))
        for round_number in range(finished_rounds + 1, self._job.rounds + 1):
            state, local_weights = self._round(round_number, state, local_weights)
            asyncio.run(self._checkpoints.save((state, local_weights), round_number))
        return TrainedModels(self._process.get_model_weights(state), local_weights)

    def _start(self) -> tuple[int, Any, list[Any]]:
        state = self._process.set_model_weights(self._process.initialize(), self._initial_weights)
        local_weights = [_as_mapping(self._initial_weights) for _ in self._silos] if self._job.local_models else []
        versions = asyncio.run(self._checkpoints.get_versions())
        finished_rounds = max(versions) if versions else 0
        if finished_rounds:
            state, local_weights = asyncio.run(self._checkpoints.load(finished_rounds, (state, local_weights)))
        self._records.keep_rounds(finished_rounds)
        return finished_rounds, state, local_weights

    def _round(self, round_number: int, state: Any, local_weights: list[Any]) -> tuple[Any, list[Any]]:
        start = time.monotonic()
        datasets = [self._data.training_dataset(silo, round_number) for silo in self._silos]
        output = self._process.next(state, datasets)
        metrics = _plain(output.metrics["client_work"]["train"])
        rejected = self._rejected_silos(round_number, state, datasets, metrics)
        seconds = time.monotonic() - start
        rejected_alone: list[str] = []
        if self._job.local_models:
            # A silo whose own update is not finite keeps the model that it had.
            local_weights, trained_rows = self._train_alone(local_weights, datasets)
            rejected_alone = self._untrained(trained_rows)
        self._records.add_round(round_number, seconds, metrics, rejected, rejected_alone)
        if rejected or rejected_alone:
            self._directory.report("rejected", round=round_number, silos=rejected, local_models=rejected_alone)
        if round_number % self._job.evaluation_interval == 0 or round_number == self._job.rounds:
            self._evaluate(round_number, self._process.get_model_weights(output.state), local_weights)
        self._directory.report(
            "round", round=round_number, rounds=self._job.rounds, seconds=seconds, loss=metrics["loss"]
        )
        return output.state, local_weights

    def _rejected_silos(
        self, round_number: int, state: Any, datasets: Sequence[tf.data.Dataset], metrics: Mapping[str, float]
    ) -> list[str]:
        """Finds the silos whose updates are not finite: TFF leaves them out, and says nothing but the sum of rows."""
        expected_rows = sum(silo.count for silo in self._silos) * self._job.local_epochs
        if metrics["num_examples"] == expected_rows and math.isfinite(metrics["loss"]):
            return []
        weights = _as_mapping(self._process.get_model_weights(state))
        _, trained_rows = self._train_alone([weights] * len(datasets), datasets)
        rejected = self._untrained(trained_rows)
        if rejected and len(rejected) < len(self._silos) and math.isfinite(metrics["loss"]):
            return rejected
        which = f"silo {self._silos[0].silo!r}" if len(self._silos) == 1 else "every silo"
        raise job_lib.JobError(
            "NonFiniteUpdate",
            f"round {round_number}: the update of {which} is not finite, or its loss; the state after round "
            f"{round_number - 1} is kept in {self._directory.checkpoints}. Lower client_learning_rate, or scale the "
            "features",
            silo=self._silos[0].silo if len(self._silos) == 1 else None,
            round_number=round_number,
        )

    def _untrained(self, trained_rows: Sequence[float]) -> list[str]:
        return [silo.silo for silo, rows in zip(self._silos, trained_rows, strict=True) if rows == 0]

    def _evaluate(self, round_number: int, weights: tff.learning.models.ModelWeights, local_weights: list[Any]) -> None:
        for split in [self._job.train_split, self._job.evaluation_split]:
            if split is None:
                continue
            silos = self._job.silos[split]
            datasets = [self._data.evaluation_dataset(split, silo) for silo in silos]
            measured = self._evaluation.of_one_model(weights, datasets)
            self._require_finite_losses(round_number, split, measured)
            self._record_evaluation(round_number, split, "federated", silos, measured)
            if self._job.local_models:
                of_silo = dict(zip((silo.silo for silo in self._silos), local_weights, strict=True))
                known = [(silo, data) for silo, data in zip(silos, datasets, strict=True) if silo.silo in of_silo]
                measured = self._evaluation.of_own_models(
                    [of_silo[silo.silo] for silo, _ in known], [data for _, data in known]
                )
                self._record_evaluation(round_number, split, "local", [silo for silo, _ in known], measured)

    def _require_finite_losses(self, round_number: int, split: str, measured: Sequence[Mapping[str, Any]]) -> None:
        """Stops where the model has no finite loss on any silo: then it is the model, and not one silo's rows."""
        if measured and not any(math.isfinite(metrics["loss"]) for metrics in measured):
            raise job_lib.JobError(
                "NonFiniteLoss",
                f"round {round_number}: the loss of the federated model is finite on no silo of split {split!r}; lower "
                "client_learning_rate, or scale the features",
                round_number=round_number,
            )

    def _record_evaluation(
        self,
        round_number: int,
        split: str,
        model: str,
        silos: Sequence[job_lib.SiloRows],
        measured: Sequence[Mapping[str, Any]],
    ) -> None:
        self._records.add_evaluation(round_number, split, model, silos, [_plain(metrics) for metrics in measured])


class Records:
    """What is written down of each round: two JSON Lines files, and TensorBoard summaries beside them.

    `rounds.jsonl`: round, seconds, metrics of the silos' training, summed over silos as TFF does, the silos whose
    update was not finite and left out (`rejected_silos`), and those whose own was not (`rejected_local_models`).
    `silo_metrics.jsonl`: round, split, model (`federated` or `local`), silo, rows and the metrics of that model on that
    silo's rows, null where they are not finite.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Writes into a folder, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._rounds = folder / "rounds.jsonl"
        self._silo_metrics = folder / "silo_metrics.jsonl"
        self._summaries = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def keep_rounds(self, last_round: int) -> None:
        """Drops what an ended run wrote about rounds that will be run again."""
        for file in (self._rounds, self._silo_metrics):
            lines = file.read_text("utf-8").splitlines() if file.exists() else []
            kept = [line for line in lines if json.loads(line)["round"] <= last_round]
            file.write_text("".join(line + "\n" for line in kept), "utf-8")

    def add_round(
        self,
        round_number: int,
        seconds: float,
        metrics: Mapping[str, float],
        rejected_silos: Sequence[str],
        rejected_local_models: Sequence[str],
    ) -> None:
        """Records the training of one round."""
        rejected = {"rejected_silos": rejected_silos, "rejected_local_models": rejected_local_models}
        _append(self._rounds, {"round": round_number, "seconds": seconds, **metrics, **rejected})
        with self._summaries.as_default(step=round_number):
            for name, value in metrics.items():
                tf.summary.scalar(f"train/{name}", value)
            tf.summary.scalar("seconds_per_round", seconds)
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
        for silo, metrics in zip(silos, measured, strict=True):
            row = {"round": round_number, "split": split, "model": model, "silo": silo.silo, "rows": silo.count}
            finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
            _append(self._silo_metrics, {**row, **finite})
        with self._summaries.as_default(step=round_number):
            for name in measured[0] if measured else ():
                values = [metrics[name] for metrics in measured if math.isfinite(metrics[name])]
                tf.summary.histogram(f"{split}/{model}/{name}_over_silos", values)
        self._summaries.flush()


def _append(file: pathlib.Path, fields: Mapping[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(fields) + "\n")


def _plain(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: np.asarray(value).item() for name, value in metrics.items()}


def _as_mapping(weights: tff.learning.models.ModelWeights) -> dict[str, list[Any]]:
    return {"trainable": list(weights.trainable), "non_trainable": list(weights.non_trainable)}
