"""The silos' tasks of one round as the trainer describes them, before a runtime reads the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tff_runtime import job as job_lib
from tff_runtime import silo_data, silo_weights


class HostTask(NamedTuple):
    """One silo's task; the fields are those of `local_algorithm.SiloTask` without the silo axis.

    Attributes:
        silo: The silo and where its rows are in the training split.
        order: Row numbers of each step's batch, -1 for padding; int32, shape `(steps, batch)`.
        epoch_steps: How many of the steps make one epoch.
        number: Number of the silo among the job's training silos.
        weight: How much its update counts.
        learning_rate: Of its SGD in this round.
        state: What the silo keeps from round to round.
        privacy: What record-level privacy needs, by name; empty without it.
    """

    silo: job_lib.SiloRows
    order: np.ndarray
    epoch_steps: int
    number: int
    weight: float
    learning_rate: float
    state: Sequence[np.ndarray] = ()
    privacy: Mapping[str, np.ndarray] = {}


def batch_width(job: job_lib.TrainingJob) -> int:
    """Returns how many rows a batch has room for: no more than the largest silo has."""
    return min(job.batch_size, max(silo.count for silo in job.silos[job.train_split]))


def describe(
    job: job_lib.TrainingJob, width: int, number: int, round_number: int, state: Sequence[np.ndarray]
) -> HostTask:
    """Returns the task of one silo in one round, with the seeded order of its rows.

    Args:
        job: The job.
        width: `batch_width` of the job.
        number: Number of the silo among the training silos.
        round_number: The round; the first is 1.
        state: What the silo keeps.

    Returns:
        The task, of weight 1.
    """
    silo = job.silos[job.train_split][number]
    order = silo_data.batch_order(silo.count, width, job.local_epochs, job.seed, round_number, silo.silo)
    rate = job.client_learning_rate * job.client_schedule.factor(round_number)
    return HostTask(silo, order, len(order) // job.local_epochs, number, 1.0, rate, state)


def describe_cohort(
    job: job_lib.TrainingJob, width: int, numbers: Sequence[int], round_number: int, silo_state: Sequence[np.ndarray]
) -> list[HostTask]:
    """Returns the tasks of several silos as `describe` does, with what all silos keep stacked along a first axis."""
    return [describe(job, width, number, round_number, [stack[number] for stack in silo_state]) for number in numbers]


def weighted(job: job_lib.TrainingJob, tasks: Sequence[HostTask]) -> list[HostTask]:
    """Returns the tasks of a round with their weights among each other."""
    # Silos that are lost, or whose privacy budget is spent, may leave fewer than the share was chosen for.
    share = max(job.maximum_silo_share, 1 / len(tasks))
    weights = silo_weights.weights([task.silo.count for task in tasks], job.silo_weighting, share)
    return [task._replace(weight=weight) for task, weight in zip(tasks, weights, strict=True)]


def for_each_silo(values: Sequence[np.ndarray], silos: int) -> list[np.ndarray]:
    """Returns the same values for each silo, stacked along a first axis."""
    return [np.repeat(value[np.newaxis], silos, axis=0) for value in values]


def with_rows(stacks: Sequence[np.ndarray], tasks: Sequence[HostTask], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns what all silos keep with that of some of them, in the order of their tasks, in the place of the old."""
    numbers = [task.number for task in tasks]
    replaced = [np.array(stack) for stack in stacks]
    for stack, values in zip(replaced, rows, strict=True):
        stack[numbers] = values
    return replaced
