"""TFF's C++ workers at given addresses; each trains and measures its own silos, whose rows it reads by path.

What travels is the weights, the order of rows and the state of the silos one way, and updates or metrics the other way.
The server's half runs in this process, as in `in_process`.

A worker that breaks off, or does not answer in time, is lost. Then nothing of the call is used, and `SilosLostError`
says which silos to leave out of the next one, so that a round's result depends on nothing but who takes part in it. A
lost worker is used again by the first call that finds it answering.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf

from tff_runtime import job as job_lib
from tff_runtime.contexts import client_computations, map_reduce, native, runtime, tff_worker
from tff_runtime.learning import host_task, learning_process, silo_element, silo_training
from tff_runtime.settings import executions


class Remote(native.NativeClients):
    """See the module. To be made by `remote_runtime`."""

    def __init__(self, parts: runtime.Parts, workers: Sequence[tff_worker.Worker]) -> None:
        """Builds the computations.

        Args:
            parts: What to run, with a `Remote` setting.
            workers: The setting's workers, connected.
        """
        super().__init__(parts)
        job = parts.job
        self._setting: executions.Remote = job.execution
        self._workers = workers
        self._position = _positions(job)
        self._pool = futures.ThreadPoolExecutor(len(workers))
        state = parts.algorithm.initial_state([np.zeros(spec.shape, np.float32) for spec in parts.model.trainable])
        self._element = silo_element.TaskElement(
            self._files[job.train_split], host_task.batch_width(job), state, silo_training.privacy_specs(job)
        )
        weights_type = learning_process.model_weights_type(parts.model)
        self._train = client_computations.build_silo_training(parts.algorithm, weights_type, self._element)
        server = learning_process.ServerProcess(parts.algorithm, job, parts.aggregator)
        self._initial_state = map_reduce.initial_state(server.initialize)
        self._server = map_reduce.MapReduce(server.next)

    def initial_state(self, weights: Any) -> Any:
        """See `Runtime.initial_state`."""
        return self._initial_state._replace(global_model_weights=weights)

    def next(self, state: Any, tasks: Sequence[host_task.HostTask]) -> tuple[Any, runtime.Outcome]:
        """See `Runtime.next`."""
        elements = [[self._element.element(task, self._train_folder)] for task in tasks]
        results = self._at_workers(
            lambda positions: self._train(
                state.client_work, state.global_model_weights, [elements[position] for position in positions]
            ),
            [task.silo for task in tasks],
            self._setting.minimum_silos,
        )
        stacked = tf.nest.map_structure(lambda *values: np.stack(values), *results)
        new_state, _ = self._server.run(state, stacked.update, stacked.weight, stacked.shared)
        return new_state, runtime.Outcome(stacked.report, list(stacked.state))

    def train_alone(self, non_trainable: Sequence[np.ndarray], tasks: Sequence[host_task.HostTask]) -> runtime.Outcome:
        """See `Runtime.train_alone`."""
        train_alone = super().train_alone

        def outcomes(positions: Sequence[int]) -> list[runtime.Outcome]:
            trained = train_alone(non_trainable, [tasks[position] for position in positions])
            return [tf.nest.map_structure(lambda stack: stack[row], trained) for row in range(len(positions))]

        each = self._at_workers(outcomes, [task.silo for task in tasks])
        return tf.nest.map_structure(lambda *values: np.stack(values), *each)

    def evaluate(self, weights: Any, split: str, silos: Sequence[job_lib.SiloRows]) -> Iterator[Mapping[str, float]]:
        """See `Runtime.evaluate`."""
        evaluate = super().evaluate
        return iter(
            self._at_workers(
                lambda positions: list(evaluate(weights, split, [silos[position] for position in positions])), silos
            )
        )

    def evaluate_own(
        self,
        own: Sequence[np.ndarray],
        non_trainable: Sequence[np.ndarray],
        split: str,
        silos: Sequence[job_lib.SiloRows],
    ) -> Iterator[Mapping[str, float]]:
        """See `Runtime.evaluate_own`."""
        evaluate_own = super().evaluate_own

        def measured(positions: Sequence[int]) -> list[Mapping[str, float]]:
            stacks = [stack[positions] for stack in own]
            return list(evaluate_own(stacks, non_trainable, split, [silos[position] for position in positions]))

        return iter(self._at_workers(measured, silos))

    def close(self) -> None:
        """Breaks the connections, which ends the calls that still wait."""
        for worker in self._workers:
            worker.close()
        self._pool.shutdown()

    def _at_workers(
        self, ask: Callable[[list[int]], Sequence[Any]], silos: Sequence[job_lib.SiloRows], minimum: int = 1
    ) -> list[Any]:
        """Asks each worker for its silos, all at the same time.

        Args:
            ask: Returns an answer for each of the given positions in `silos`; called in a thread of each worker.
            silos: The silos.
            minimum: How many silos have to remain where some are lost.

        Returns:
            The answers, in the order of the silos.

        Raises:
            SilosLostError: Workers are lost, but enough silos remain.
            JobError: Too few remain, or a worker could not compute.
        """
        shares: dict[int, list[int]] = {}
        for position, silo in enumerate(silos):
            shares.setdefault(self._worker_of(silo), []).append(position)
        self._find_again(shares)
        seconds = self._setting.round_deadline_seconds
        running = {
            number: self._pool.submit(self._workers[number].run, lambda share=share: ask(share), seconds)
            for number, share in shares.items()
            if self._workers[number].is_connected
        }
        answers: dict[int, Any] = {}
        for number, future in running.items():
            try:
                answers |= zip(shares[number], future.result(), strict=True)
            except tff_worker.WorkerLostError as error:
                self._report_lost(number, str(error))
        self._require_all(silos, answers, minimum)
        return [answers[position] for position in range(len(silos))]

    def _worker_of(self, silo: job_lib.SiloRows) -> int:
        return self._setting.worker_of_silo.get(silo.silo, self._position[silo.silo] % len(self._workers))

    def _find_again(self, numbers: Sequence[int] | Mapping[int, Any]) -> None:
        for number in numbers:
            worker = self._workers[number]
            if not worker.is_connected and worker.answers:
                with contextlib.suppress(tff_worker.WorkerLostError):
                    worker.connect(self._setting.start_deadline_seconds)
                    self._parts.directory.report("worker found", address=worker.address)

    def _report_lost(self, number: int, reason: str) -> None:
        address = self._workers[number].address
        names = [silo.silo for silo in self._parts.job.silos[self._parts.job.train_split]]
        silos = [silo for silo in names if self._worker_of_name(silo) == number]
        self._parts.directory.report("worker lost", address=address, reason=reason, silos=silos)
