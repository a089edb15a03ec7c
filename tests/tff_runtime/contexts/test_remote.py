"""Trainings at real TFF workers, some of which are killed or stopped at a known moment."""

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import threading
import time

import numpy as np
import pytest
import tensorflow_federated as tff

from tests.tff_runtime import numpy_reference
from tff_runtime import federated_training, initial_weights, module_file
from tff_runtime import job as job_lib
from tff_runtime.contexts import remote as remote_context
from tff_runtime.contexts import runtime
from tff_runtime.privacy import private_rounds
from tff_runtime.settings import algorithms, executions, ledgers

SILOS = {"a": 40, "b": 9, "c": 25, "d": 1, "e": 16}
# Where the first worker has these silos, the second one has the others.
FIRST = ["a", "d", "e"]
WORKER_OF_SILO = {silo: 0 if silo in FIRST else 1 for silo in SILOS}


class WorkerProcess:
    """A TFF worker on this machine."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            self.port = free.getsockname()[1]
        self.address = f"localhost:{self.port}"
        self.start()

    def start(self):
        program = pathlib.Path(tff.__file__).parent / "data" / "worker_binary"
        self._process = subprocess.Popen([program, f"--port={self.port}"], stdin=subprocess.DEVNULL)

    def stop(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        self._process.kill()
        self._process.wait()


class WatchedDirectory(job_lib.JobDirectory):
    """A job directory that calls back after each event."""

    def __init__(self, path, called_back):
        super().__init__(path)
        self._called_back = called_back

    def report(self, event, **fields):
        super().report(event, **fields)
        self._called_back(event, fields)


@pytest.fixture
def workers():
    # Anew for each test: tests kill them.
    both = [WorkerProcess(), WorkerProcess()]
    yield both
    for worker in both:
        worker.kill()


def remote(*workers, **changes):
    changes = {"worker_of_silo": WORKER_OF_SILO, **changes}
    return executions.Remote(tuple(worker.address for worker in workers), **changes)


def train(directory):
    job = directory.read_job()
    return federated_training.run_training(directory, job, module_file.load(directory.module, job))


def after_first_round(directory, do):
    def called_back(event, fields):
        if event == "round" and fields["round"] == 1:
            do()

    return WatchedDirectory(directory.path, called_back)


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def record(directory, name):
    return read_lines(directory.unfinished_result / "run" / name)


def events(directory, name):
    return [line for line in read_lines(directory.progress) if line["event"] == name]


def rows_of_silos(directory, job):
    x, y = (np.load(directory.data / "train" / file) for file in ("x.npy", "label.npy"))
    return {
        silo.silo: (x[silo.start : silo.start + silo.count], y[silo.start : silo.start + silo.count])
        for silo in job.silos["train"]
    }


def averaged_in_numpy(directory, silos_of_rounds):
    """Returns the weights after rounds in which the given silos took part."""
    job = directory.read_job()
    rows = rows_of_silos(directory, job)
    make_model = module_file.load(directory.module, job).make_model
    weights = initial_weights.initial_weights(directory, job, make_model).trainable
    for round_number, silos in enumerate(silos_of_rounds, start=1):
        trained = [numpy_reference.train_silo(weights, *rows[silo], job, silo, round_number) for silo in silos]
        counts = [SILOS[silo] for silo in silos]
        weights = [np.average(values, axis=0, weights=counts) for values in zip(*trained, strict=True)]
    return weights


def assert_local_models(directory, trained, rounds_of_silos):
    job = directory.read_job()
    initial = initial_weights.initial_weights(directory, job, module_file.load(directory.module, job).make_model)
    for position, (silo, (x, y)) in enumerate(rows_of_silos(directory, job).items()):
        expected = numpy_reference.local_training(initial.trainable, silo, x, y, job, rounds_of_silos[silo])
        assert_close([stack[position] for stack in trained.own_weights], expected)


def assert_close(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@contextlib.contextmanager
def remote_run(directory):
    """Yields a `Remote` runtime, and a function that measures the initial model on the training rows."""
    job = directory.read_job()
    user = module_file.load(directory.module, job)
    parts = federated_training.build_parts(directory, job, user, private_rounds.NoPrivacy())
    weights = initial_weights.initial_weights(directory, job, user.make_model)
    with remote_context.remote_runtime(parts) as run:
        yield run, lambda: list(run.evaluate(weights, "train", job.silos["train"]))


def until_all_are_there(call):
    while True:
        with contextlib.suppress(runtime.SilosLostError):
            return call()
        time.sleep(0.1)


def ignoring_errors(call):
    def ignoring():
        with contextlib.suppress(Exception):
            call()

    return ignoring


@pytest.mark.parametrize(
    ("others", "changes"),
    [
        ([executions.InProcess(), executions.Native()], {"maximum_silo_share": 0.3}),
        (
            [executions.InProcess()],
            {
                "algorithm": algorithms.Scaffold(),
                "server_optimizer": "adam",
                "local_models": False,
                "ledger": ledgers.DetailedLedger(),
            },
        ),
    ],
    ids=["local models", "scaffold with updates"],
)
def test_trains_the_same_models_as_the_other_executions(make_job, workers, others, changes):
    # Without an assignment, silos go to the workers in turn.
    directory = make_job(SILOS, execution=remote(*workers, worker_of_silo={}), **changes)
    trained = train(directory)
    for other in others:
        other_directory = make_job(SILOS, name=type(other).__name__, execution=other, **changes)
        other_trained = train(other_directory)
        assert_close(trained.weights.trainable, other_trained.weights.trainable)
        assert_close(trained.own_weights, other_trained.own_weights)
        lines = record(directory, "silo_metrics.jsonl"), record(other_directory, "silo_metrics.jsonl")
        for line, other_line in zip(*lines, strict=True):
            assert line == pytest.approx(other_line, abs=1e-4)
        assert_close(stored_updates(directory), stored_updates(other_directory))


def stored_updates(directory):
    arrays = []
    for path in sorted((directory.unfinished_result / "run").glob("updates/round-*.npz")):
        with np.load(path) as file:
            arrays += [file["weights"], file["global"], file["updates"] * file["scales"][:, np.newaxis]]
    return arrays


def die_between_calls(worker):
    worker.kill()


def die_while_it_computes(worker):
    # Stopped, it cannot have answered before it dies.
    worker.stop()
    threading.Timer(0.5, worker.kill).start()


def stop_for_ever(worker):
    worker.stop()


@pytest.mark.parametrize("happens", [die_between_calls, die_while_it_computes, stop_for_ever])
def test_a_round_is_that_of_the_silos_whose_workers_live(make_job, workers, happens):
    # Long enough for a slow machine to compute a round of the healthy worker, and waited for by `stop_for_ever` alone.
    execution = remote(*workers, round_deadline_seconds=10)
    directory = make_job(SILOS, execution=execution)
    trained = train(after_first_round(directory, lambda: happens(workers[1])))

    lost = sorted(set(SILOS) - set(FIRST))
    assert_close(trained.weights.trainable, averaged_in_numpy(directory, [SILOS, FIRST, FIRST]))
    assert [line["lost_silos"] for line in record(directory, "rounds.jsonl")] == [[], lost, lost]
    assert [line["silos"] for line in record(directory, "rounds.jsonl")] == [5, 3, 3]
    assert {line["silo"] for line in record(directory, "silo_metrics.jsonl")} == set(FIRST)
    assert [(line["address"], line["silos"]) for line in events(directory, "worker lost")] == [
        (workers[1].address, lost)
    ]
    assert [line["round"] for line in events(directory, "left out")] == [2, 3]
    assert_local_models(directory, trained, {silo: 3 if silo in FIRST else 1 for silo in SILOS})


def test_too_few_silos_end_the_training_which_then_goes_on_from_its_checkpoint(make_job, workers):
    directory = make_job(SILOS, local_models=False, execution=remote(*workers, minimum_silos=4))
    with pytest.raises(job_lib.JobError, match=rf"{workers[1].address} .* 3 remain, and minimum_silos is 4") as raised:
        train(after_first_round(directory, workers[1].kill))
    assert raised.value.kind == "Worker"
    assert [line["round"] for line in events(directory, "checkpoint")] == [1]

    workers[1].start()
    trained = train(directory)
    assert_close(trained.weights.trainable, averaged_in_numpy(directory, [SILOS, SILOS, SILOS]))
    assert [line["lost_silos"] for line in record(directory, "rounds.jsonl")] == [[], [], []]


def test_a_worker_that_is_started_again_is_used_again(make_job, workers):
    directory = make_job(SILOS, execution=remote(*workers))
    with remote_run(directory) as (_, measure):
        before = measure()
        workers[1].kill()
        with pytest.raises(runtime.SilosLostError) as lost:
            measure()
        assert lost.value.positions == {position for position, silo in enumerate(SILOS) if silo not in FIRST}
        workers[1].start()
        assert until_all_are_there(measure) == before
    assert [line["address"] for line in events(directory, "worker found")] == [workers[1].address]


def test_a_worker_that_is_not_there_is_named_at_the_start(make_job, workers):
    workers[1].kill()
    directory = make_job(SILOS, execution=remote(*workers, start_deadline_seconds=3))
    with pytest.raises(
        job_lib.JobError, match=rf"no TFF worker at {workers[1].address} \(no answer within 3 s\)\. "
    ) as it:
        train(directory)
    assert it.value.kind == "Worker"


def test_a_worker_that_cannot_read_the_rows_is_named(make_job, workers):
    directory = make_job(SILOS, execution=remote(*workers))
    with remote_run(directory) as (_, measure):
        (directory.data / "train").rename(directory.data / "elsewhere")
        with pytest.raises(
            job_lib.JobError, match=r"worker localhost:\d+: .*/data/train/.*npy; No such file"
        ) as raised:
            measure()
    assert raised.value.kind == "Worker"


def test_the_end_of_a_training_does_not_wait_for_a_worker_that_hangs(make_job, workers):
    directory = make_job(SILOS, execution=remote(*workers))
    with remote_run(directory) as (_, measure):
        measure()
        workers[1].stop()
        hanging = threading.Thread(target=ignoring_errors(measure))
        hanging.start()
        hanging.join(0.5)
    hanging.join()
