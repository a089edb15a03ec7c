"""A silo's task of one round as the trainer describes it, before a runtime reads the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tff_runtime import job as job_lib
from tff_runtime import silo_data


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
