"""Trains coalitions of a job's silos, each as if there were no other silo: what exact Shapley values are computed from.

coalitions.json                  in the job directory: a list of coalitions, each a list of silos, perhaps of none
run/updates/coalitions.npz       in the result: `silos` unicode [n], the job's; `members` bool [K, n], who is in each
                                 coalition; `weights` float32 [K, P], the trainable weights after the last round,
                                 flattened as in `learning.stored_updates`; without silos the initial ones

Everything but the silos is as in the training of all: initial weights, order of rows, weighting, algorithm and cohorts.
Nothing is measured, recorded or saved between rounds, and silos are trained in this process, whatever `execution` says.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence

import numpy as np
import tensorflow_federated as tff

from tff_runtime import federated_training, module_file
from tff_runtime import initial_weights as initial_weights_lib
from tff_runtime import job as job_lib
from tff_runtime.contexts import in_process
from tff_runtime.learning import cohort, host_task, sent_updates
from tff_runtime.privacy import private_rounds
from tff_runtime.settings import algorithms, cohorts

# These compute with the number of silos, which is thereby part of what is compiled.
_COMPILED_BY_NUMBER = (algorithms.Scaffold, algorithms.AgnosticFederated)


def train_coalitions(directory: job_lib.JobDirectory, job: job_lib.TrainingJob, user: module_file.UserModule) -> None:
    """Trains each coalition and writes their weights into the unfinished result.

    Args:
        directory: The job's files, with `coalitions.json`.
        job: The job, without privacy.
        user: The user's model.

    Raises:
        JobError: The module file has a learning process of its own.
    """
    if user.make_process:
        raise job_lib.JobError(
            "ModuleFile", "the module file has a learning_process_fn, which is not run for coalitions of silos"
        )
    silos = job.silos[job.train_split]
    coalitions = [set(names) for names in json.loads(directory.coalitions.read_text("utf-8"))]
    members = np.asarray([[silo.silo in coalition for silo in silos] for coalition in coalitions])
    initial = initial_weights_lib.initial_weights(directory, job, user.make_model)
    trainer_of = functools.cache(lambda number: _Trainer(directory, _restricted(job, silos[:number]), user))
    weights = []
    for finished, is_member in enumerate(members, start=1):
        coalition = _restricted(job, [silo for silo, inside in zip(silos, is_member, strict=True) if inside])
        number = max(1, sum(is_member)) if isinstance(job.algorithm, _COMPILED_BY_NUMBER) else len(silos)
        weights.append(trainer_of(number).train(coalition, host_task.batch_width(job), initial))
        directory.report("coalition", finished=finished, coalitions=len(members))
    folder = directory.unfinished_result / "run" / "updates"
    folder.mkdir(parents=True, exist_ok=True)
    names = np.asarray([silo.silo for silo in silos], np.str_)
    np.savez(folder / "coalitions.npz", silos=names, members=members, weights=np.stack(weights))


class _Trainer:
    """Trains silos in this process; what is compiled serves all coalitions."""

    def __init__(self, directory: job_lib.JobDirectory, job: job_lib.TrainingJob, user: module_file.UserModule) -> None:
        parts = federated_training.build_parts(directory, job, user, private_rounds.NoPrivacy())
        self._algorithm = parts.algorithm
        self._run = in_process.InProcess(parts)

    def train(self, job: job_lib.TrainingJob, width: int, initial: tff.learning.models.ModelWeights) -> np.ndarray:
        """Returns the flattened trainable weights after the last round of the job's silos; without any, the initial."""
        silos = job.silos[job.train_split]
        rows = np.asarray([silo.count for silo in silos])
        state = self._run.initial_state(initial)
        silo_state = host_task.for_each_silo(self._algorithm.initial_state(initial.trainable), len(silos))
        for round_number in range(1, job.rounds + 1 if silos else 1):
            numbers = cohort.draw(job.cohort, rows, job.seed, round_number)
            tasks = host_task.describe_cohort(job, width, numbers, round_number, silo_state)
            state, outcome = self._run.next(state, host_task.weighted(job, tasks))
            silo_state = host_task.with_rows(silo_state, tasks, outcome.state)
        return sent_updates.flat([np.asarray(weight) for weight in self._run.weights(state).trainable])


def _restricted(job: job_lib.TrainingJob, silos: Sequence[job_lib.SiloRows]) -> job_lib.TrainingJob:
    """Returns the job with some of its silos, all of them in each round where they are too few for the cohort."""
    size = getattr(job.cohort, "size", len(silos))
    return dataclasses.replace(
        job,
        silos={**job.silos, job.train_split: tuple(silos)},
        cohort=job.cohort if size < len(silos) else cohorts.AllSilos(),
    )
