"""Puts a training together from its job."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow_federated as tff

from tff_runtime import functional_model, module_file, silo_data
from tff_runtime import initial_weights as initial_weights_lib
from tff_runtime import job as job_lib
from tff_runtime.aggregation import aggregator
from tff_runtime.contexts import in_process, native, remote, runtime, user_process
from tff_runtime.learning import algorithms, local_only, measured_losses, personalization, silo_evaluation, training
from tff_runtime.privacy import private_rounds, silo_level
from tff_runtime.settings import executions, ledgers, privacy


def run_training(
    directory: job_lib.JobDirectory, job: job_lib.TrainingJob, user: module_file.UserModule
) -> training.TrainedModels:
    """Trains a job where it says.

    Args:
        directory: The job's files.
        job: The job.
        user: The user's model, and learning process if there is one.

    Returns:
        The trained models; records are in the `run` folder of the unfinished result.

    Raises:
        JobError: The training cannot go on.
    """
    rounds = private_rounds.build(directory, job)
    parts = build_parts(directory, job, user, rounds)
    initial = initial_weights_lib.initial_weights(directory, job, user.make_model)
    with _runtime(parts, user) as run:
        trained = training.Training(parts, run, initial, rounds, directory.unfinished_result / "run").train()
        if run.compilations is not None:
            directory.report("compiled", compilations=run.compilations)
    return trained


def build_parts(
    directory: job_lib.JobDirectory,
    job: job_lib.TrainingJob,
    user: module_file.UserModule,
    rounds: private_rounds.PrivateRounds,
) -> runtime.Parts:
    """Returns what a runtime needs of a job.

    Args:
        directory: The job's files.
        job: The job.
        user: The user's model.
        rounds: What the job's privacy asks of each round.

    Raises:
        JobError: The model does not go with the job's settings.
    """
    model = functional_model.FunctionalModel(user.make_model, job)
    algorithm = personalization.build(algorithms.build(model, job), job)
    if isinstance(job.ledger, ledgers.DetailedLedger) and isinstance(job.privacy, privacy.NoPrivacy):
        algorithm = measured_losses.MeasuredLosses(algorithm)
    if isinstance(job.privacy, privacy.RecordLevel) and not model.has_silo_axis:
        raise job_lib.JobError(
            "ModuleFile",
            "RecordLevel needs a gradient of each row, and TensorFlow cannot vectorize an operation of the model; use "
            "layers such as Dense, Embedding and LayerNormalization",
        )
    return runtime.Parts(
        directory=directory,
        job=job,
        data=silo_data.SiloData(directory, job, list(model.specs)),
        model=model,
        evaluation=silo_evaluation.SiloEvaluation(user.make_model, model),
        algorithm=algorithm,
        local_only=local_only.LocalOnly(model, algorithm.silos),
        aggregator=_aggregator(job, rounds),
    )


def _aggregator(
    job: job_lib.TrainingJob, rounds: private_rounds.PrivateRounds
) -> tff.aggregators.WeightedAggregationFactory:
    if isinstance(rounds, private_rounds.SiloLevel):
        return silo_level.SiloLevelFactory(job.privacy, private_rounds.cohort_size(job), rounds.noise_multiplier)
    return aggregator.build(job.aggregation)


@contextlib.contextmanager
def _runtime(parts: runtime.Parts, user: module_file.UserModule) -> Iterator[runtime.Runtime]:
    if user.make_process:
        user_process.require_defaults(parts.job)
        with native.native_runtime():
            yield user_process.UserProcess(parts, user.make_process())
        return
    match parts.job.execution:
        case executions.InProcess():
            yield in_process.InProcess(parts)
        case executions.Native():
            with native.native_runtime():
                yield native.Native(parts)
        case executions.Remote():
            with remote.remote_runtime(parts) as run:
                yield run
