"""Fine-tuning: each silo goes on alone from the global model, and keeps what is best on its own held-out rows.

(Yu et al., arXiv 2002.04758, section 3.1.) A silo without rows in the evaluation split keeps the global model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tff_runtime import job as job_lib
from tff_runtime.contexts import runtime
from tff_runtime.learning import host_task
from tff_runtime.settings import personalizations as settings


def fine_tune(
    run: runtime.Runtime, weights: Any, setting: settings.FineTuning, job: job_lib.TrainingJob
) -> list[np.ndarray]:
    """Returns each silo's own trainable weights, each array with a leading axis of the job's training silos.

    Args:
        run: Where to train and measure.
        weights: `ModelWeights` of the global model.
        setting: How long and how fast.
        job: The job.
    """
    silos = job.silos[job.train_split]
    non_trainable = [np.asarray(weight) for weight in weights.non_trainable]
    current = [np.repeat(np.asarray(weight)[np.newaxis], len(silos), axis=0) for weight in weights.trainable]
    best = [stack.copy() for stack in current]
    width = host_task.batch_width(job)
    lowest = _losses(run, current, non_trainable, job)
    for epoch in range(1, setting.epochs + 1):
        tasks = [
            _task(job, width, number, epoch, setting, [stack[number] for stack in current])
            for number in range(len(silos))
        ]
        tasks, outcome = runtime.without_lost(lambda tasks: run.train_alone(non_trainable, tasks), tasks)
        for stack, rows in zip(current, outcome.state, strict=True):
            stack[[task.number for task in tasks]] = rows
        losses = _losses(run, current, non_trainable, job)
        better = losses < lowest
        lowest = np.where(better, losses, lowest)
        for kept, stack in zip(best, current, strict=True):
            kept[better] = stack[better]
    return best


def _task(
    job: job_lib.TrainingJob,
    width: int,
    number: int,
    epoch: int,
    setting: settings.FineTuning,
    state: Sequence[np.ndarray],
) -> host_task.HostTask:
    # The rounds behind the last one, so that the order of rows differs from theirs.
    task = host_task.describe(job, width, number, job.rounds + epoch, state)
    return task._replace(order=task.order[: task.epoch_steps], learning_rate=setting.learning_rate)


def _losses(
    run: runtime.Runtime, own: Sequence[np.ndarray], non_trainable: Sequence[np.ndarray], job: job_lib.TrainingJob
) -> np.ndarray:
    """Returns each training silo's loss on its rows of the evaluation split; infinite where it has none."""
    split = job.evaluation_split
    assert split is not None
    position = {silo.silo: number for number, silo in enumerate(job.silos[job.train_split])}
    silos = [silo for silo in job.silos[split] if silo.silo in position]

    def measure(silos: Sequence[job_lib.SiloRows]) -> list[float]:
        stacks = [stack[[position[silo.silo] for silo in silos]] for stack in own]
        return [metrics["loss"] for metrics in run.evaluate_own(stacks, non_trainable, split, silos)]

    silos, measured = runtime.without_lost(measure, silos)
    losses = np.full(len(position), np.inf)
    losses[[position[silo.silo] for silo in silos]] = measured
    return np.where(np.isnan(losses), np.inf, losses)
