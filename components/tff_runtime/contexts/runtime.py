"""What a training needs of the place where it runs."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tff_runtime import functional_model, silo_data
from tff_runtime import job as job_lib
from tff_runtime.learning import host_task, local_algorithm, sent_updates, silo_evaluation, silo_training

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class SilosLostError(Exception):
    """Some silos cannot be reached; what was asked for can be asked for again without them.

    Attributes:
        positions: Their positions among the silos, or tasks, that were asked for.
    """

    def __init__(self, positions: Sequence[int]) -> None:
        super().__init__(f"{len(positions)} silos cannot be reached")
        self.positions = frozenset(positions)


class Parts(NamedTuple):
    """What a runtime runs.

    Attributes:
        directory: The job's files.
        job: The job.
        data: Its arrays.
        model: The user's model.
        evaluation: How a model is measured.
        algorithm: The federated algorithm.
        local_only: The training of each silo alone.
        aggregator: A `tff.aggregators.WeightedAggregationFactory`.
    """

    directory: job_lib.JobDirectory
    job: job_lib.TrainingJob
    data: silo_data.SiloData
    model: functional_model.FunctionalModel
    evaluation: silo_evaluation.SiloEvaluation
    algorithm: local_algorithm.LocalAlgorithm
    local_only: local_algorithm.LocalAlgorithm
    aggregator: Any


class Outcome(NamedTuple):
    """What a round leaves of each silo of the cohort, in the order of the tasks, as arrays with an axis of silos.

    Attributes:
        report: See `silo_training.Report`.
        state: What the silos keep.
        sent: The silos' updates, where they are kept.
    """

    report: silo_training.Report
    state: list[np.ndarray]
    sent: sent_updates.SentUpdates | None = None

    def at(self, positions: Sequence[int] | np.ndarray) -> Outcome:
        """Returns the outcome of the silos at some positions, in that order."""
        report = silo_training.Report(*(values[positions] for values in self.report))
        sent = self.sent and sent_updates.SentUpdates(*(values[positions] for values in self.sent))
        return Outcome(report, [stack[positions] for stack in self.state], sent)


class Runtime(abc.ABC):
    """Runs rounds, local training and evaluation.

    Each of them raises `SilosLostError` where silos are out of reach, and has no effect then; see `without_lost`.
    """

    @abc.abstractmethod
    def initial_state(self, weights: Any) -> Any:
        """Returns the state of the learning process before the first round, with the given `ModelWeights`."""

    def weights(self, state: Any) -> Any:
        """Returns the `ModelWeights` of a state of the learning process."""
        return state.global_model_weights

    @abc.abstractmethod
    def next(self, state: Any, tasks: Sequence[host_task.HostTask]) -> tuple[Any, Outcome]:
        """Runs a round of the federated algorithm.

        Args:
            state: State of the learning process.
            tasks: What the silos of the cohort do.

        Returns:
            The new state, and what became of each silo.
        """

    @abc.abstractmethod
    def train_alone(self, non_trainable: Sequence[np.ndarray], tasks: Sequence[host_task.HostTask]) -> Outcome:
        """Trains silos each on its own from the weights that are its state.

        Args:
            non_trainable: Weights that all silos share.
            tasks: What the silos do.
        """

    @abc.abstractmethod
    def evaluate(self, weights: Any, split: str, silos: Sequence[job_lib.SiloRows]) -> Iterator[Mapping[str, float]]:
        """Yields the metrics of one model on each silo's rows.

        Args:
            weights: `ModelWeights` of the model.
            split: The split.
            silos: The silos.
        """

    @abc.abstractmethod
    def evaluate_own(
        self,
        own: Sequence[np.ndarray],
        non_trainable: Sequence[np.ndarray],
        split: str,
        silos: Sequence[job_lib.SiloRows],
    ) -> Iterator[Mapping[str, float]]:
        """Yields the metrics of each silo's own model on its rows.

        Args:
            own: Trainable weights with a leading axis of silos, in the order of `silos`.
            non_trainable: Weights that all silos share.
            split: The split.
            silos: The silos.
        """

    @property
    @abc.abstractmethod
    def compilations(self) -> int | None:
        """How many XLA compilations there have been, or None where it is not known."""


def without_lost(call: Callable[[list[_Item]], _Result], items: Sequence[_Item]) -> tuple[list[_Item], _Result]:
    """Calls with silos, or tasks, and as long as some are lost on the way, again with the others.

    Returns:
        Those that were not lost, and what the call with them returned.
    """
    left = list(items)
    while True:
        try:
            return left, call(left)
        except SilosLostError as error:
            left = [item for position, item in enumerate(left) if position not in error.positions]


def in_order(numbers: Sequence[int], outcome: Outcome) -> Outcome:
    """Returns an outcome whose silos came in any order in that of the given numbers of silos."""
    came = {int(number): position for position, number in enumerate(outcome.report.number)}
    return outcome.at([came[number] for number in numbers])
