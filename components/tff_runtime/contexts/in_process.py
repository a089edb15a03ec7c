"""The TensorFlow graphs of a training in this process: silos in groups along an axis, groups in parallel threads.

The silos' half is the algorithm's own TensorFlow function, the one that a TFF client runs for one silo; the server's
half is the TFF computation `learning_process.ServerProcess.next`, compiled to graphs by TFF.
"""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf

from tff_runtime import job as job_lib
from tff_runtime.contexts import map_reduce, runtime, silo_groups
from tff_runtime.learning import (
    batch_loop,
    host_task,
    learning_process,
    local_algorithm,
    sent_updates,
    silo_training,
)
from tff_runtime.settings import cohorts

# Rows kept in memory from round to round.
_KEPT_BYTES = 2**29


class InProcess(runtime.Runtime):
    """See the module."""

    def __init__(self, parts: runtime.Parts) -> None:
        """Compiles the server's half; the silos' half is compiled when a shape is first met."""
        self._parts = parts
        self._threads = threads(parts.job)
        server = learning_process.ServerProcess(parts.algorithm, parts.job, parts.aggregator)
        self._initial_state = map_reduce.initial_state(server.initialize)
        self._server = map_reduce.MapReduce(server.next)
        rows = _GroupRows(parts)
        self._federated = _SiloFunction(parts.algorithm, parts, rows)
        self._alone = _SiloFunction(parts.local_only, parts, rows)
        self._weights = sent_updates.parameters(parts.model)
        self._keeps_updates = sent_updates.are_kept(parts.job, parts.model)
        self._measure = tf.function(parts.evaluation.measure, input_signature=_evaluation_signature(parts))

    def initial_state(self, weights: Any) -> Any:
        """See `Runtime.initial_state`."""
        return self._initial_state._replace(global_model_weights=weights)

    def next(self, state: Any, tasks: Sequence[host_task.HostTask]) -> tuple[Any, runtime.Outcome]:
        """See `Runtime.next`."""
        weights = state.global_model_weights
        message = local_algorithm.Message(list(weights.trainable), list(weights.non_trainable), list(state.client_work))
        accumulator = self._server.begin(state)
        outcome = _OutcomeBuilder(self._keeps_updates)
        for group, results in self._in_order(self._federated, message, tasks):
            accumulator = self._server.accumulate(accumulator, results.update, results.weight, results.shared)
            outcome.add(group, results)
        new_state, _ = self._server.finish(state, accumulator)
        return new_state, outcome.build()

    def train_alone(self, non_trainable: Sequence[np.ndarray], tasks: Sequence[host_task.HostTask]) -> runtime.Outcome:
        """See `Runtime.train_alone`."""
        no_weights = [tf.zeros(spec.shape, spec.dtype) for spec in self._parts.model.trainable]
        message = local_algorithm.Message(no_weights, list(non_trainable), [])
        outcome = _OutcomeBuilder(keeps_updates=False)
        for group, results in self._in_order(self._alone, message, tasks):
            outcome.add(group, results)
        return outcome.build()

    def evaluate(self, weights: Any, split: str, silos: Sequence[job_lib.SiloRows]) -> Iterator[Mapping[str, float]]:
        """See `Runtime.evaluate`."""
        trainable = [tf.convert_to_tensor(weight) for weight in weights.trainable]
        return self._evaluate(lambda _: trainable, list(weights.non_trainable), split, silos)

    def evaluate_own(
        self,
        own: Sequence[np.ndarray],
        non_trainable: Sequence[np.ndarray],
        split: str,
        silos: Sequence[job_lib.SiloRows],
    ) -> Iterator[Mapping[str, float]]:
        """See `Runtime.evaluate_own`."""
        return self._evaluate(lambda position: [stack[position] for stack in own], list(non_trainable), split, silos)

    @property
    def compilations(self) -> int | None:
        """Number of shapes of the compiled loops."""
        return self._federated.compilations + self._alone.compilations

    def _evaluate(
        self,
        weights_of: Callable[[int], Sequence[Any]],
        non_trainable: Sequence[Any],
        split: str,
        silos: Sequence[job_lib.SiloRows],
    ) -> Iterator[Mapping[str, float]]:
        def measure(position: int) -> Mapping[str, float]:
            features, labels = self._parts.data.rows(split, silos[position])
            measured = self._measure(list(weights_of(position)), list(non_trainable), features, labels)
            return {name: float(value) for name, value in measured.items()}

        return _parallel(measure, range(len(silos)), self._threads)

    def _in_order(
        self, function: _SiloFunction, message: local_algorithm.Message, tasks: Sequence[host_task.HostTask]
    ) -> Iterator[tuple[silo_groups.SiloGroup, silo_training.SiloResults]]:
        """Yields the results of each group, in an order that the tasks alone decide."""
        groups = silo_groups.form_groups(
            steps=[len(task.order) for task in tasks],
            rows=[task.silo.count for task in tasks],
            row_bytes=self._parts.data.row_bytes(self._parts.job.train_split),
            weights=self._weights * (tasks[0].order.shape[1] if tasks[0].privacy else 1),
            threads=self._threads,
            largest=silo_groups.GROUP_SIZES[-1] if self._parts.model.has_silo_axis else 1,
        )
        return _parallel(lambda group: (group, function(message, tasks, group)), groups, self._threads)


def threads(job: job_lib.TrainingJob) -> int:
    """Returns how many groups of silos are trained at the same time."""
    return job.execution.threads or os.cpu_count() or 1


def share_processors(job: job_lib.TrainingJob) -> None:
    """Leaves each thread its part of the processors: TensorFlow would give every one of them all.

    To be called before TensorFlow has done anything.
    """
    tf.config.threading.set_intra_op_parallelism_threads(max(1, (os.cpu_count() or 1) // threads(job)))


class _SiloFunction:
    """An algorithm's training of a group of silos, traced once for each size of a group."""

    def __init__(self, algorithm: local_algorithm.LocalAlgorithm, parts: runtime.Parts, rows: _GroupRows) -> None:
        self._algorithm = algorithm
        self._parts = parts
        self._rows = rows
        self._functions: dict[tuple[int, int], Any] = {}
        self._shapes: set[tuple[int, int, int]] = set()
        self._lock = threading.Lock()

    @property
    def compilations(self) -> int:
        return len(self._shapes)

    def __call__(
        self,
        message: local_algorithm.Message,
        tasks: Sequence[host_task.HostTask],
        group: silo_groups.SiloGroup,
    ) -> silo_training.SiloResults:
        """Returns the results of the group's silos, in the order of its positions."""
        task = self._packed([tasks[position] for position in group.positions], group.size)
        try:
            results = self._function(task)(message, task)
        except tf.errors.InvalidArgumentError as error:
            if "tf2xla" not in error.message:
                raise
            raise job_lib.JobError(
                "ModuleFile",
                "XLA cannot compile an operation of the model or its loss; recurrent layers need unroll=True. "
                f"TensorFlow says: {error.message}",
            ) from error
        return tf.nest.map_structure(lambda values: values[: len(group.positions)], results)

    def _function(self, task: local_algorithm.SiloTask) -> Callable[..., silo_training.SiloResults]:
        short, long = batch_loop.CHUNK_LENGTHS
        size, steps, width = task.rows.order.shape
        with self._lock:
            self._shapes.add((size, width, short if steps <= short else long))
            if (size, width) not in self._functions:
                signature = tf.nest.map_structure(tf.TensorSpec.from_tensor, task)
                signature = signature._replace(rows=_any_number_of_rows(signature.rows))
                function = tf.function(
                    lambda message, task: silo_training.train(self._algorithm, message, task),
                    input_signature=[self._message_signature(), signature],
                )
                function.get_concrete_function()
                self._functions[size, width] = function
            return self._functions[size, width]

    def _message_signature(self) -> local_algorithm.Message:
        shared = [tf.TensorSpec(value.shape, value.dtype) for value in self._algorithm.initial_shared()]
        return local_algorithm.Message(list(self._parts.model.trainable), list(self._parts.model.non_trainable), shared)

    def _packed(self, tasks: Sequence[host_task.HostTask], size: int) -> local_algorithm.SiloTask:
        """Returns tasks stacked along the silo axis, and silos without steps behind them."""
        features, labels = self._rows.of([task.silo for task in tasks], size)
        most_steps = max(len(task.order) for task in tasks)
        packed = local_algorithm.SiloTask(
            rows=batch_loop.Rows(
                features=features,
                labels=labels,
                order=_stacked([task.order for task in tasks], size, most_steps, -1),
                steps=_column([len(task.order) for task in tasks], size, np.int32),
            ),
            epoch_steps=_column([task.epoch_steps for task in tasks], size, np.int32),
            number=_column([task.number for task in tasks], size, np.int32),
            weight=_column([task.weight for task in tasks], size, np.float32),
            learning_rate=np.float32(tasks[0].learning_rate),
            state=[_padded(np.stack(values), size) for values in zip(*(task.state for task in tasks), strict=True)],
            privacy={
                name: _padded(np.stack([task.privacy[name] for task in tasks]), size) for name in tasks[0].privacy
            },
        )
        return tf.nest.map_structure(tf.convert_to_tensor, packed)


class _GroupRows:
    """The rows of groups of silos, kept in memory where the same groups come again in every round."""

    def __init__(self, parts: runtime.Parts) -> None:
        self._data = parts.data
        self._split = parts.job.train_split
        self._names = list(parts.model.specs)
        self._bytes_left = _KEPT_BYTES if isinstance(parts.job.cohort, cohorts.AllSilos) else 0
        self._kept: dict[tuple[int, ...], tuple[dict[str, tf.Tensor], tf.Tensor]] = {}
        self._lock = threading.Lock()

    def of(self, silos: Sequence[job_lib.SiloRows], size: int) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Returns features and labels with a silo axis of the given size."""
        key = (size, *(silo.start for silo in silos))
        if key in self._kept:
            return self._kept[key]
        rows = [self._data.rows(self._split, silo) for silo in silos]
        longest = max(silo.count for silo in silos)
        features = {name: _stacked([values[name] for values, _ in rows], size, longest, 0) for name in self._names}
        labels = _stacked([label for _, label in rows], size, longest, 0)
        tensors = (
            {name: tf.convert_to_tensor(values) for name, values in features.items()},
            tf.convert_to_tensor(labels),
        )
        needed = size * longest * self._data.row_bytes(self._split)
        with self._lock:
            if needed <= self._bytes_left:
                self._bytes_left -= needed
                self._kept[key] = tensors
        return tensors


class _OutcomeBuilder:
    """Puts the groups' reports, and their updates where they are kept, back into the order of the tasks."""

    def __init__(self, keeps_updates: bool) -> None:
        self._keeps_updates = keeps_updates
        self._positions: list[int] = []
        self._results: list[Any] = []
        self._sent: list[sent_updates.SentUpdates] = []

    def add(self, group: silo_groups.SiloGroup, results: silo_training.SiloResults) -> None:
        self._positions.extend(group.positions)
        self._results.append(tf.nest.map_structure(lambda values: values.numpy(), (results.report, results.state)))
        if self._keeps_updates:
            update = [values.numpy() for values in results.update]
            self._sent.append(sent_updates.of_stacks(update, results.weight.numpy()))

    def build(self) -> runtime.Outcome:
        report, state = _joined(self._results)
        outcome = runtime.Outcome(report, list(state), _joined(self._sent) if self._sent else None)
        return outcome.at(np.argsort(self._positions))


def _parallel(function: Callable[[Any], Any], items: Sequence[Any], threads: int) -> Iterator[Any]:
    """Yields function(item) in the order of the items, with no more results waiting than there are threads."""
    with futures.ThreadPoolExecutor(threads) as pool:
        running: collections.deque[futures.Future[Any]] = collections.deque()
        for item in items:
            if len(running) > threads:
                yield running.popleft().result()
            running.append(pool.submit(function, item))
        while running:
            yield running.popleft().result()


def _evaluation_signature(parts: runtime.Parts) -> list[Any]:
    label = parts.job.label
    labels = tf.TensorSpec((None, *label.shape), label.dtype)
    return [list(parts.model.trainable), list(parts.model.non_trainable), dict(parts.model.specs), labels]


def _any_number_of_rows(rows: batch_loop.Rows) -> batch_loop.Rows:
    def relaxed(spec: tf.TensorSpec) -> tf.TensorSpec:
        return tf.TensorSpec((spec.shape[0], None, *spec.shape[2:]), spec.dtype)

    return rows._replace(
        features={name: relaxed(spec) for name, spec in rows.features.items()},
        labels=relaxed(rows.labels),
        order=relaxed(rows.order),
    )


def _joined(groups: Sequence[Any]) -> Any:
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *groups)


def _stacked(arrays: Sequence[np.ndarray], size: int, length: int, padding: int) -> np.ndarray:
    if size == len(arrays) == 1:
        return arrays[0][np.newaxis]
    stack = np.full((size, length, *arrays[0].shape[1:]), padding, arrays[0].dtype)
    for row, array in zip(stack, arrays, strict=False):
        row[: len(array)] = array
    return stack


def _column(values: Sequence[float], size: int, dtype: Any) -> np.ndarray:
    return _padded(np.asarray(values, dtype), size)


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), values.dtype)])
