"""The round loop: trains, measures, records and saves program state, and goes on where a former run was ended."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import gc
import math
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime.contexts import runtime
from tff_runtime.learning import best_round, cohort, fine_tuning, host_task, sent_updates, stored_updates
from tff_runtime.learning import records as records_lib
from tff_runtime.privacy import private_rounds
from tff_runtime.settings import ledgers, personalizations, stopping

# The state after a round is kept until the next but one is there, so that a broken write loses nothing.
_CHECKPOINTS_KEPT = 2
# TFF writes program state as a SavedModel, whose parts refer to each other: memory would grow from round to round.
_ROUNDS_PER_COLLECTION = 100


@dataclasses.dataclass(frozen=True)
class TrainedModels:
    """What a training leaves.

    Attributes:
        weights: `ModelWeights` of the federated model.
        own_weights: Trainable weights of each silo's own model, each array with a leading axis of the job's training
            silos: the personalised models, else those of each silo alone; empty without either.
        best_round: The round whose models these are.
        last_weights: `ModelWeights` of the federated model after the last round.
        initial_weights: The same before the first.
    """

    weights: Any
    own_weights: Sequence[np.ndarray]
    best_round: int
    last_weights: Any
    initial_weights: Any


class Models(NamedTuple):
    """The models after some round.

    Attributes:
        weights: `ModelWeights` of the federated model.
        silo_state: What each silo keeps, each array with a leading axis of silos.
        value: What `stopping.BestRound` compares; infinite before the first evaluation.
        round_number: The round.
    """

    weights: Any
    silo_state: list[np.ndarray]
    value: Any
    round_number: Any


class ProgramState(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        process: State of the learning process.
        silo_state: What each silo keeps for the algorithm, each array with a leading axis of silos.
        local_weights: Weights of each silo alone, likewise; empty without local models.
        local_best: The best of them so far, likewise; empty where training keeps the last round.
        best: The best models so far.
        waited: Evaluations since the best one.
    """

    process: Any
    silo_state: list[np.ndarray]
    local_weights: list[np.ndarray]
    local_best: best_round.OwnBest
    best: Models
    waited: Any


class Training:
    """One federated training of a job."""

    def __init__(
        self,
        parts: runtime.Parts,
        run: runtime.Runtime,
        initial: Any,
        privacy: private_rounds.PrivateRounds,
        records: pathlib.Path,
    ) -> None:
        """Takes what is trained, and where.

        Args:
            parts: The job and what it is made of.
            run: Where it runs.
            initial: `ModelWeights` to start from.
            privacy: Who may take part in a round, and what may be told of it.
            records: Folder for the records, see `records`.
        """
        self._job = parts.job
        self._directory = parts.directory
        self._algorithm = parts.algorithm
        self._run = run
        self._initial = initial
        self._privacy = privacy
        self._silos = parts.job.silos[parts.job.train_split]
        self._numbers = {silo.silo: number for number, silo in enumerate(self._silos)}
        # Of all silos, of which a round may have few: it must not cost what their number costs.
        self._rows = np.asarray([silo.count for silo in self._silos])
        self._width = host_task.batch_width(parts.job)
        self._records = records_lib.Records(records)
        self._stored_updates: stored_updates.StoredUpdates | None = None
        if isinstance(self._job.ledger, ledgers.DetailedLedger):
            self._stored_updates = stored_updates.StoredUpdates(
                records / "updates", self._job.ledger.maximum_bytes, self._directory.report
            )
        self._checkpoints = tff.program.FileProgramStateManager(
            parts.directory.checkpoints, keep_total=_CHECKPOINTS_KEPT, keep_first=False
        )

    def train(self) -> TrainedModels:
        """Trains until the job's last round, or until it is time to stop.

        Returns:
            The trained models.

        Raises:
            JobError: No silo's update, or no measured loss, is finite.
        """
        finished_rounds, state = self._start()
        self._directory.report("training", finished=finished_rounds, rounds=self._job.rounds, silos=len(self._silos))
        for round_number in range(finished_rounds + 1, self._job.rounds + 1):
            if self._has_stopped(state):
                self._directory.report("stopped", round=round_number - 1, best_round=int(state.best.round_number))
                break
            numbers = cohort.draw(self._job.cohort, self._rows, self._job.seed, round_number)
            if not (numbers := self._privacy.admitted(round_number, numbers)):
                self._directory.report("budget spent", round=round_number - 1)
                break
            state = self._round(round_number, numbers, state)
            finished_rounds = round_number
            if round_number % self._job.checkpoint_interval == 0 or round_number == self._job.rounds:
                asyncio.run(self._checkpoints.save(state, round_number))
                self._directory.report("checkpoint", round=round_number)
            if round_number % _ROUNDS_PER_COLLECTION == 0:
                gc.collect()
        self._records.write_privacy(self._privacy.spent())
        if self._stored_updates is not None:
            self._stored_updates.finish(finished_rounds, self._algorithm.model)
        return self._trained(state)

    def _start(self) -> tuple[int, ProgramState]:
        initial = [np.asarray(weight) for weight in self._initial.trainable]
        silo_state = host_task.for_each_silo(self._algorithm.initial_state(initial), len(self._silos))
        local_weights = host_task.for_each_silo(initial, len(self._silos)) if self._job.local_models else []
        state = ProgramState(
            process=self._run.initial_state(self._initial),
            silo_state=silo_state,
            local_weights=local_weights,
            local_best=best_round.OwnBest(local_weights if self._keeps_best else [], np.full(len(self._silos), np.inf)),
            best=Models(self._initial, silo_state, np.float64(np.inf), np.int64(0)),
            waited=np.int64(0),
        )
        versions = asyncio.run(self._checkpoints.get_versions())
        finished_rounds = max(versions) if versions else 0
        if finished_rounds:
            state = asyncio.run(self._checkpoints.load(finished_rounds, state))
        self._records.keep_rounds(finished_rounds)
        if self._stored_updates is not None:
            self._stored_updates.keep_rounds(finished_rounds)
        return finished_rounds, state

    def _round(self, round_number: int, numbers: Sequence[int], state: ProgramState) -> ProgramState:
        start = time.monotonic()
        # Noise is drawn once, so that a round that is repeated without lost silos costs no privacy again.
        drawn = self._privacy.with_noise(
            host_task.describe_cohort(self._job, self._width, numbers, round_number, state.silo_state)
        )
        left, (process, outcome) = runtime.without_lost(
            lambda tasks: self._run.next(state.process, host_task.weighted(self._job, tasks)), drawn
        )
        tasks = host_task.weighted(self._job, left)
        rejected = self._rejected(round_number, tasks, outcome)
        seconds = time.monotonic() - start
        self._store_updates(round_number, tasks, outcome, state)
        state = state._replace(process=process, silo_state=host_task.with_rows(state.silo_state, tasks, outcome.state))
        state, rejected_alone = self._train_alone(tasks, state)
        numbers_left = [task.number for task in tasks]
        lost = [task.silo.silo for task in drawn if task.number not in numbers_left]
        loss = self._record_round(round_number, seconds, tasks, outcome, lost, rejected, rejected_alone)
        if self._is_evaluated(round_number):
            state = self._evaluate(round_number, state)
        self._directory.report("round", round=round_number, rounds=self._job.rounds, seconds=seconds, loss=loss)
        return state

    def _is_evaluated(self, round_number: int) -> bool:
        return round_number % self._job.evaluation_interval == 0 or round_number == self._job.rounds

    def _store_updates(
        self, round_number: int, tasks: Sequence[host_task.HostTask], outcome: runtime.Outcome, before: ProgramState
    ) -> None:
        if self._stored_updates is not None:
            assert outcome.sent is not None
            silos = [task.silo.silo for task in tasks]
            trainable = self._run.weights(before.process).trainable
            self._stored_updates.add_round(round_number, silos, outcome.sent, outcome.report.finite > 0, trainable)

    def _train_alone(self, tasks: Sequence[host_task.HostTask], state: ProgramState) -> tuple[ProgramState, list[str]]:
        if not self._job.local_models:
            return state, []
        own = [task._replace(state=[stack[task.number] for stack in state.local_weights], privacy={}) for task in tasks]
        own, outcome = runtime.without_lost(lambda tasks: self._run.train_alone(self._non_trainable(state), tasks), own)
        # A silo that is lost, or whose own update is not finite, keeps the model that it had.
        weights = host_task.with_rows(state.local_weights, own, outcome.state)
        return state._replace(local_weights=weights), _not_finite(own, outcome)

    def _rejected(self, round_number: int, tasks: Sequence[host_task.HostTask], outcome: runtime.Outcome) -> list[str]:
        rejected = _not_finite(tasks, outcome)
        if len(rejected) < len(tasks):
            return rejected
        which = f"silo {rejected[0]!r}" if len(rejected) == 1 else "every silo"
        raise job_lib.JobError(
            "NonFiniteUpdate",
            f"round {round_number}: the update of {which} is not finite, or its loss; the state after round "
            f"{round_number - 1} is kept in {self._directory.checkpoints}. Lower client_learning_rate, or scale the "
            "features",
            silo=rejected[0] if len(rejected) == 1 else None,
            round_number=round_number,
        )

    def _record_round(
        self,
        round_number: int,
        seconds: float,
        tasks: Sequence[host_task.HostTask],
        outcome: runtime.Outcome,
        lost: list[str],
        rejected: list[str],
        rejected_alone: list[str],
    ) -> float | None:
        report = outcome.report
        finite = report.finite > 0
        loss = None
        if not self._privacy.hides_training_metrics:
            loss = records_lib.finite(float(np.average(report.loss[finite], weights=report.rows[finite])))
        trained = [task.silo.count for task, is_finite in zip(tasks, finite, strict=True) if is_finite]
        if self._privacy.hides_silos:
            lost, rejected, rejected_alone = [], [], []
        fields: dict[str, Any] = {
            "seconds": seconds,
            "silos": len(tasks),
            "num_examples": None if self._privacy.hides_silos else sum(trained) * self._job.local_epochs,
            "loss": loss,
            "lost_silos": lost,
            "rejected_silos": rejected,
            "rejected_local_models": rejected_alone,
        }
        spent = self._privacy.spent() if self._is_evaluated(round_number) else None
        if spent is not None:
            fields["epsilon"] = spent["epsilon"]
        self._records.add_round(round_number, fields, self._silo_updates(tasks, outcome))
        if lost:
            self._directory.report("left out", round=round_number, silos=lost)
        if rejected or rejected_alone:
            self._directory.report("rejected", round=round_number, silos=rejected, local_models=rejected_alone)
        return loss

    def _silo_updates(
        self, tasks: Sequence[host_task.HostTask], outcome: runtime.Outcome
    ) -> Iterator[Mapping[str, Any]]:
        if self._privacy.hides_silos:
            return
        report = outcome.report
        cosines = np.full(len(tasks), np.nan) if outcome.sent is None else sent_updates.cosines(outcome.sent)
        for position, task in enumerate(tasks):
            loss = None if self._privacy.hides_training_metrics else float(report.loss[position])
            fields = {
                "silo": task.silo.silo,
                "rows": task.silo.count,
                "weight": float(task.weight),
                "loss": loss,
                "update_norm": float(report.update_norm[position]),
                "cosine": float(cosines[position]),
            }
            if self._stored_updates is not None:
                fields["loss_before"] = float(report.loss_before[position])
                fields["loss_after"] = float(report.loss_after[position])
            yield fields

    def _evaluate(self, round_number: int, state: ProgramState) -> ProgramState:
        weights = self._run.weights(state.process)
        for split in self._measured_splits():
            measure = functools.partial(self._measure, weights, split)
            silos, measured = runtime.without_lost(measure, self._job.silos[split])
            self._require_finite_losses(round_number, split, measured)
            self._records.add_evaluation(round_number, split, "federated", silos, measured)
            if self._job.local_models:
                measured_alone = self._evaluate_own(round_number, split, "local", state.local_weights, state)
                if split == self._job.evaluation_split:
                    state = self._compared_alone(*measured_alone, state)
            if personal := self._personal_weights(weights, state.silo_state):
                measured_personal = self._evaluate_own(round_number, split, "personal", personal, state)
                # Where silos have models of their own, those are what stopping is about.
                silos, measured = measured_personal or (silos, measured)
            if split == self._job.evaluation_split:
                state = self._compared(round_number, weights, silos, measured, state)
        return state

    def _measure(self, weights: Any, split: str, silos: Sequence[job_lib.SiloRows]) -> Sequence[Mapping[str, float]]:
        return list(self._run.evaluate(weights, split, silos))

    def _measured_splits(self) -> list[str]:
        splits = [] if self._privacy.hides_training_metrics else [self._job.train_split]
        return [*splits, self._job.evaluation_split] if self._job.evaluation_split else splits

    def _compared(
        self,
        round_number: int,
        weights: Any,
        silos: Sequence[job_lib.SiloRows],
        measured: Sequence[Mapping[str, float]],
        state: ProgramState,
    ) -> ProgramState:
        if not isinstance(self._job.stopping, stopping.BestRound):
            return state
        value = best_round.value(self._job.stopping, silos, measured)
        if value < state.best.value:
            best = Models(weights, state.silo_state, np.float64(value), np.int64(round_number))
            return state._replace(best=best, waited=np.int64(0))
        if not math.isfinite(state.best.value):
            # Nothing is known to be better than the last models.
            state = state._replace(best=Models(weights, state.silo_state, state.best.value, np.int64(round_number)))
        return state._replace(waited=np.int64(state.waited + 1))

    def _compared_alone(
        self, silos: Sequence[job_lib.SiloRows], measured: Sequence[Mapping[str, float]], state: ProgramState
    ) -> ProgramState:
        """Keeps each silo's best, so that a silo alone may choose its round as the federation does."""
        if not isinstance(self._job.stopping, stopping.BestRound):
            return state
        values = np.full(len(self._silos), np.inf)
        for silo, metrics in zip(silos, measured, strict=True):
            values[self._numbers[silo.silo]] = best_round.value(self._job.stopping, [silo], [metrics])
        return state._replace(local_best=state.local_best.or_better(state.local_weights, values))

    def _has_stopped(self, state: ProgramState) -> bool:
        setting = self._job.stopping
        if not isinstance(setting, stopping.BestRound) or setting.patience is None:
            return False
        return int(state.waited) >= setting.patience

    def _evaluate_own(
        self, round_number: int, split: str, model: str, own: Sequence[Any], state: ProgramState
    ) -> tuple[list[job_lib.SiloRows], list[Mapping[str, float]]]:
        silos = [silo for silo in self._job.silos[split] if silo.silo in self._numbers]

        def measure(silos: Sequence[job_lib.SiloRows]) -> list[Mapping[str, float]]:
            numbers = [self._numbers[silo.silo] for silo in silos]
            stacks = [np.asarray(stack)[numbers] for stack in own]
            return list(self._run.evaluate_own(stacks, self._non_trainable(state), split, silos))

        silos, measured = runtime.without_lost(measure, silos)
        self._records.add_evaluation(round_number, split, model, silos, measured)
        return silos, measured

    def _require_finite_losses(self, round_number: int, split: str, measured: Sequence[Mapping[str, Any]]) -> None:
        """Stops where the model has no finite loss on any silo: then it is the model, and not one silo's rows."""
        if measured and not any(math.isfinite(metrics["loss"]) for metrics in measured):
            raise job_lib.JobError(
                "NonFiniteLoss",
                f"round {round_number}: the loss of the federated model is finite on no silo of split {split!r}; lower "
                "client_learning_rate, or scale the features",
                round_number=round_number,
            )

    def _trained(self, state: ProgramState) -> TrainedModels:
        models, last = state.best, self._run.weights(state.process)
        alone = state.local_best.weights if self._keeps_best else state.local_weights
        if not self._keeps_best:
            models = Models(last, state.silo_state, np.float64(np.inf), np.int64(self._job.rounds))
        own = self._personal_weights(models.weights, models.silo_state)
        if isinstance(self._job.personalization, personalizations.FineTuning):
            self._directory.report("fine-tuning")
            own = fine_tuning.fine_tune(self._run, models.weights, self._job.personalization, self._job)
            for split in self._measured_splits():
                self._evaluate_own(self._job.rounds, split, "personal", own, state)
        round_number = int(models.round_number)
        return TrainedModels(models.weights, own or alone, round_number, last, self._initial)

    def _personal_weights(self, weights: Any, silo_state: Sequence[np.ndarray]) -> list[np.ndarray]:
        personal = self._algorithm.personal_weights(list(weights.trainable), silo_state)
        return [np.asarray(stack) for stack in personal or ()]

    @property
    def _keeps_best(self) -> bool:
        return isinstance(self._job.stopping, stopping.BestRound)

    def _non_trainable(self, state: ProgramState) -> list[np.ndarray]:
        return [np.asarray(weight) for weight in self._run.weights(state.process).non_trainable]


def _not_finite(tasks: Sequence[host_task.HostTask], outcome: runtime.Outcome) -> list[str]:
    return [task.silo.silo for task, finite in zip(tasks, outcome.report.finite, strict=True) if not finite]
