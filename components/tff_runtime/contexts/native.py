"""TFF's C++ runtime as one child process on this machine; each TFF client reads its silo's rows itself."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime.contexts import client_computations, runtime
from tff_runtime.learning import host_task, learning_process, sent_updates, silo_element, silo_training


class NativeClients(runtime.Runtime):
    """What TFF clients do beside the rounds. To be used inside `native_runtime`."""

    def __init__(self, parts: runtime.Parts) -> None:
        """Builds the computations."""
        self._parts = parts
        self._files = {split: silo_element.RowFiles(parts.data, split) for split in parts.job.silos}
        files, width = self._files[parts.job.train_split], host_task.batch_width(parts.job)
        self._alone_element = silo_element.TaskElement(files, width, parts.model.trainable, {})
        weights_type = learning_process.model_weights_type(parts.model)
        self._train_alone = client_computations.build_silo_training(parts.local_only, weights_type, self._alone_element)
        self._evaluate = {
            split: client_computations.build_evaluation(parts, files) for split, files in self._files.items()
        }
        self._evaluate_own = {
            split: client_computations.build_own_evaluation(parts, files) for split, files in self._files.items()
        }

    def train_alone(self, non_trainable: Sequence[np.ndarray], tasks: Sequence[host_task.HostTask]) -> runtime.Outcome:
        """See `Runtime.train_alone`."""
        no_weights = [np.zeros(spec.shape, spec.dtype.as_numpy_dtype) for spec in self._parts.model.trainable]
        weights = tff.learning.models.ModelWeights(no_weights, list(non_trainable))
        elements = [[self._alone_element.element(task, self._train_folder)] for task in tasks]
        results = self._train_alone([], weights, elements)
        report, state = tf.nest.map_structure(
            lambda *values: np.stack(values), *[(result.report, list(result.state)) for result in results]
        )
        return runtime.Outcome(report, state)

    def evaluate(self, weights: Any, split: str, silos: Sequence[job_lib.SiloRows]) -> Iterator[Mapping[str, float]]:
        """See `Runtime.evaluate`."""
        places = [[self._files[split].place(self._folder(split), silo)] for silo in silos]
        return map(_plain, self._evaluate[split](weights, places))

    def evaluate_own(
        self,
        own: Sequence[np.ndarray],
        non_trainable: Sequence[np.ndarray],
        split: str,
        silos: Sequence[job_lib.SiloRows],
    ) -> Iterator[Mapping[str, float]]:
        """See `Runtime.evaluate_own`."""
        element = silo_element.OwnModelElement(self._files[split], self._parts.model.trainable)
        elements = [
            [element.element(silo, self._folder(split), [stack[position] for stack in own])]
            for position, silo in enumerate(silos)
        ]
        return map(_plain, self._evaluate_own[split](list(non_trainable), elements))

    @property
    def compilations(self) -> int | None:
        """None: the worker does not tell."""
        return None

    @property
    def _train_folder(self) -> str:
        return self._folder(self._parts.job.train_split)

    def _folder(self, split: str) -> str:
        return str((self._parts.directory.data / split).absolute())


class Native(NativeClients):
    """The training as a `tff.learning` process, run by TFF. To be used inside `native_runtime`."""

    def __init__(self, parts: runtime.Parts) -> None:
        """Builds the process."""
        super().__init__(parts)
        self._of_width = functools.cache(self._build)

    def _build(self, width: int) -> tuple[silo_element.TaskElement, tff.learning.templates.LearningProcess]:
        """Returns element and process for batches with room for so many rows; Poisson batches may need more room."""
        parts, job = self._parts, self._parts.job
        state = parts.algorithm.initial_state([np.zeros(spec.shape, np.float32) for spec in parts.model.trainable])
        element = silo_element.TaskElement(self._files[job.train_split], width, state, silo_training.privacy_specs(job))
        return element, learning_process.build_learning_process(parts.algorithm, job, parts.aggregator, element)

    def initial_state(self, weights: Any) -> Any:
        """See `Runtime.initial_state`."""
        _, process = self._of_width(host_task.batch_width(self._parts.job))
        return process.set_model_weights(process.initialize(), weights)

    def next(self, state: Any, tasks: Sequence[host_task.HostTask]) -> tuple[Any, runtime.Outcome]:
        """See `Runtime.next`."""
        element, process = self._of_width(tasks[0].order.shape[1])
        output = process.next(state, [[element.element(task, self._train_folder)] for task in tasks])
        kept = output.metrics["client_work"]
        sent = sent_updates.of_stacks(kept["update"], kept["weight"]) if "update" in kept else None
        outcome = runtime.Outcome(kept["report"], kept["state"], sent)
        return output.state, runtime.in_order([task.number for task in tasks], outcome)


@contextlib.contextmanager
def native_runtime() -> Iterator[None]:
    """Runs TFF computations in TFF's C++ runtime, and ends that process on the way out.

    TFF starts a `worker_binary` at the first computation and leaves it behind when Python exits.
    """
    stack = tff.framework.get_context_stack()
    outer_context, others = stack.current, _child_processes()
    tff.backends.native.set_sync_local_cpp_execution_context()
    try:
        yield
    finally:
        # Before the context goes: TFF would interrupt its worker and wait, for ever where interrupts are ignored.
        for child in _child_processes() - others:
            _end(child)
        stack.set_default_context(outer_context)


def _end(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def _child_processes() -> set[int]:
    children: set[int] = set()
    for thread in pathlib.Path("/proc/self/task").iterdir():
        # A thread may end while they are looked at; its children are then another thread's.
        with contextlib.suppress(FileNotFoundError):
            children.update(map(int, (thread / "children").read_text().split()))
    return children


def _plain(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}
