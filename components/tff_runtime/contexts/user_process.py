"""A user's own `tff.learning` process, in TFF's C++ runtime.

The process gets each silo's batches as TFF's own algorithms do, as a `tf.data.Dataset` of (features, label) by value.
What it tells is what TFF tells: sums over silos. So a round's record has no loss, norm or rejection of single silos.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime.contexts import native, runtime
from tff_runtime.learning import host_task, silo_training
from tff_runtime.settings import executions, ledgers

_SETTINGS_OF_OUR_OWN = ("algorithm", "aggregation", "privacy", "personalization", "client_schedule", "server_schedule")


class UserProcess(native.NativeClients):
    """See the module. To be used inside `native_runtime`."""

    def __init__(self, parts: runtime.Parts, process: tff.learning.templates.LearningProcess) -> None:
        """Takes the process; only training alone and evaluation are ours."""
        super().__init__(parts)
        self._process = process

    def initial_state(self, weights: Any) -> Any:
        """See `Runtime.initial_state`."""
        return self._process.set_model_weights(self._process.initialize(), weights)

    def weights(self, state: Any) -> Any:
        """See `Runtime.weights`."""
        return self._process.get_model_weights(state)

    def next(self, state: Any, tasks: Sequence[host_task.HostTask]) -> tuple[Any, runtime.Outcome]:
        """See `Runtime.next`."""
        output = self._process.next(state, [self._parts.data.training_dataset(task.silo, task.order) for task in tasks])
        unknown = np.full(len(tasks), np.nan, np.float32)
        rows = np.asarray([(task.order >= 0).sum() for task in tasks], np.float32)
        numbers = np.asarray([task.number for task in tasks], np.float32)
        report = silo_training.Report(
            numbers,
            rows,
            loss=unknown,
            update_norm=unknown,
            finite=np.ones_like(unknown),
            loss_before=unknown,
            loss_after=unknown,
        )
        return output.state, runtime.Outcome(report, [])


def require_defaults(job: job_lib.TrainingJob) -> None:
    """Refuses settings that a user's own process would not heed.

    Raises:
        JobError: There are some; the message names them.
    """
    changed = [name for name in _SETTINGS_OF_OUR_OWN if getattr(job, name) != job_lib.CHOICES[name][1]]
    if changed:
        raise job_lib.JobError(
            "ModuleFile",
            f"the module file's learning_process_fn decides what the settings {', '.join(changed)} are for; leave them "
            "out, or the function",
        )
    if not isinstance(job.execution, executions.Native):
        raise job_lib.JobError(
            "ModuleFile",
            "the module file has a learning_process_fn, which runs in TFF's own runtime; set execution=Native()",
        )
    if isinstance(job.ledger, ledgers.DetailedLedger):
        raise job_lib.JobError(
            "ModuleFile",
            "the module file has a learning_process_fn, of which TFF tells only sums over silos: DetailedLedger would "
            "have no updates; set ledger=SummaryLedger()",
        )
