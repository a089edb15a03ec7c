"""TFF's C++ workers at given addresses; each trains and measures its own silos, whose rows it reads by path.

What travels is the weights, the order of rows and the state of the silos one way, and updates or metrics the other way.
The server's half runs in this process, as in `in_process`.

A worker that breaks off, or does not answer in time, is lost. Then nothing of the call is used, and `SilosLostError`
says which silos to leave out of the next one, so that a round's result depends on nothing but who takes part in it. A
lost worker is used again by the first call that finds it answering.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime.contexts import client_computations, map_reduce, native, runtime, tff_worker
from tff_runtime.learning import host_task, learning_process, sent_updates, silo_element, silo_training
from tff_runtime.settings import executions


@contextlib.contextmanager
def remote_runtime(parts: runtime.Parts) -> Iterator[Remote]:
    """Connects the workers of the job's `Remote` setting, and breaks the connections on the way out.

    Raises:
        JobError: A worker does not answer within the setting's `start_deadline_seconds`.
    """
    setting = parts.job.execution
    compiler = tff_worker.Compiler()
    workers = [tff_worker.Worker(address, compiler) for address in setting.workers]
    # The connections are closed before the threads are waited for: that ends the calls that block them.
    with futures.ThreadPoolExecutor(len(workers)) as pool, contextlib.ExitStack() as connections:
        for worker in workers:
            connections.callback(worker.close)
        _connect(workers, setting.start_deadline_seconds, pool)
        yield Remote(parts, workers, pool)


class Remote(native.NativeClients):
    """See the module. To be made by `remote_runtime`."""

    def __init__(
        self, parts: runtime.Parts, workers: Sequence[tff_worker.Worker], pool: futures.ThreadPoolExecutor
    ) -> None:
        """Builds the computations.

        Args:
            parts: What to run, with a `Remote` setting.
            workers: The setting's workers, connected.
            pool: A thread for each of them.
        """
        super().__init__(parts)
        job = parts.job
        self._setting: executions.Remote = job.execution
        self._workers = workers
        self._worker_of_silo = _worker_of_silo(job)
        self._pool = pool
        self._of_width = functools.cache(self._build)
        self._keeps_updates = sent_updates.are_kept(job, parts.model)
        server = learning_process.ServerProcess(parts.algorithm, job, parts.aggregator)
        self._initial_state = map_reduce.initial_state(server.initialize)
        self._server = map_reduce.MapReduce(server.next)

    def _build(self, width: int) -> tuple[silo_element.TaskElement, tff.Computation]:
        """Returns element and training for batches with room for so many rows; Poisson batches may need more room."""
        parts, job = self._parts, self._parts.job
        state = parts.algorithm.initial_state([np.zeros(spec.shape, np.float32) for spec in parts.model.trainable])
        element = silo_element.TaskElement(self._files[job.train_split], width, state, silo_training.privacy_specs(job))
        weights_type = learning_process.model_weights_type(parts.model)
        return element, client_computations.build_silo_training(parts.algorithm, weights_type, element)

    def initial_state(self, weights: Any) -> Any:
        """See `Runtime.initial_state`."""
        return self._initial_state._replace(global_model_weights=weights)

    def next(self, state: Any, tasks: Sequence[host_task.HostTask]) -> tuple[Any, runtime.Outcome]:
        """See `Runtime.next`."""
        element, train = self._of_width(tasks[0].order.shape[1])

        def results(positions: Sequence[int]) -> list[silo_training.SiloResults]:
            elements = [[element.element(tasks[position], self._train_folder)] for position in positions]
            return train(state.client_work, state.global_model_weights, elements)

        stacked = _stacked(self._at_workers(results, [task.silo for task in tasks], self._setting.minimum_silos))
        new_state, _ = self._server.run(state, stacked.update, stacked.weight, stacked.shared)
        sent = sent_updates.of_stacks(stacked.update, stacked.weight) if self._keeps_updates else None
        return new_state, runtime.Outcome(stacked.report, list(stacked.state), sent)

    def train_alone(self, non_trainable: Sequence[np.ndarray], tasks: Sequence[host_task.HostTask]) -> runtime.Outcome:
        """See `Runtime.train_alone`."""
        train_alone = super().train_alone

        def outcomes(positions: Sequence[int]) -> list[Any]:
            together = train_alone(non_trainable, [tasks[position] for position in positions])
            return [_row((together.report, together.state), row) for row in range(len(positions))]

        return runtime.Outcome(*_stacked(self._at_workers(outcomes, [task.silo for task in tasks])))

    def evaluate(self, weights: Any, split: str, silos: Sequence[job_lib.SiloRows]) -> Iterator[Mapping[str, float]]:
        """See `Runtime.evaluate`."""
        evaluate = super().evaluate

        def metrics(positions: Sequence[int]) -> list[Mapping[str, float]]:
            return list(evaluate(weights, split, [silos[position] for position in positions]))

        return iter(self._at_workers(metrics, silos))

    def evaluate_own(
        self,
        own: Sequence[np.ndarray],
        non_trainable: Sequence[np.ndarray],
        split: str,
        silos: Sequence[job_lib.SiloRows],
    ) -> Iterator[Mapping[str, float]]:
        """See `Runtime.evaluate_own`."""
        evaluate_own = super().evaluate_own

        def metrics(positions: Sequence[int]) -> list[Mapping[str, float]]:
            stacks = [stack[positions] for stack in own]
            return list(evaluate_own(stacks, non_trainable, split, [silos[position] for position in positions]))

        return iter(self._at_workers(metrics, silos))

    def _at_workers(
        self, ask: Callable[[list[int]], Sequence[Any]], silos: Sequence[job_lib.SiloRows], minimum: int = 1
    ) -> list[Any]:
        """Asks every worker about its silos, all at the same time.

        Args:
            ask: Returns an answer for each of the given positions in `silos`. Called in a thread of each worker.
            silos: The silos.
            minimum: How many silos have to remain where some are lost.

        Returns:
            The answers, in the order of the silos.

        Raises:
            SilosLostError: Some silos are lost.
            JobError: Too few silos remain, or a worker could not compute.
        """
        shares: dict[int, list[int]] = {}
        for position, silo in enumerate(silos):
            shares.setdefault(self._worker_of_silo[silo.silo], []).append(position)
        running = {
            number: self._pool.submit(
                self._workers[number].run, functools.partial(ask, share), self._setting.round_deadline_seconds
            )
            for number, share in shares.items()
            if self._is_there(number)
        }
        answers: dict[int, Any] = {}
        for number, future in running.items():
            try:
                answers.update(zip(shares[number], future.result(), strict=True))
            except tff_worker.WorkerLostError as error:
                self._report("worker lost", number, reason=str(error))
        if len(answers) < len(silos):
            lost = [position for position in range(len(silos)) if position not in answers]
            self._require(len(answers), minimum, [silos[position].silo for position in lost])
            raise runtime.SilosLostError(lost)
        return [answers[position] for position in range(len(silos))]

    def _is_there(self, number: int) -> bool:
        """Returns whether a worker may be asked; a lost one is connected again if it answers by now."""
        worker = self._workers[number]
        if not worker.is_connected and worker.has_answered():
            with contextlib.suppress(tff_worker.WorkerLostError):
                worker.connect(self._setting.start_deadline_seconds)
                self._report("worker found", number)
        return worker.is_connected

    def _report(self, event: str, number: int, **fields: Any) -> None:
        silos = [silo for silo, worker in self._worker_of_silo.items() if worker == number]
        self._parts.directory.report(event, address=self._workers[number].address, silos=silos, **fields)

    def _require(self, remaining: int, minimum: int, lost: Sequence[str]) -> None:
        if remaining >= minimum:
            return
        addresses = sorted({self._workers[self._worker_of_silo[silo]].address for silo in lost})
        raise job_lib.JobError(
            "Worker",
            f"the workers {', '.join(addresses)} are lost with {len(lost)} silos; {remaining} remain, and "
            f"minimum_silos is {minimum}. The last checkpoint is kept in {self._parts.directory.checkpoints}: start "
            "the workers, and run the training again",
        )


def _connect(workers: Sequence[tff_worker.Worker], seconds: float, pool: futures.ThreadPoolExecutor) -> None:
    connecting = [pool.submit(worker.connect, seconds) for worker in workers]
    missing = [
        f"{worker.address} ({future.exception()})"
        for worker, future in zip(workers, connecting, strict=True)
        if future.exception()
    ]
    if missing:
        raise job_lib.JobError(
            "Worker",
            f"no TFF worker at {', '.join(missing)}. Start it, and look whether this process may reach it: only pods "
            "with the label of the trainer may",
        )


def _worker_of_silo(job: job_lib.TrainingJob) -> dict[str, int]:
    """Returns the position of each silo's worker; silos without training rows are counted behind the others."""
    setting = job.execution
    splits = [job.train_split, *(split for split in job.silos if split != job.train_split)]
    names = dict.fromkeys(silo.silo for split in splits for silo in job.silos[split])
    in_turn = {name: number % len(setting.workers) for number, name in enumerate(names)}
    return in_turn | setting.worker_of_silo


def _stacked(values: Sequence[Any]) -> Any:
    return tf.nest.map_structure(lambda *one: np.stack(one), *values)


def _row(stacks: Any, row: int) -> Any:
    return tf.nest.map_structure(lambda stack: stack[row], stacks)
