import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from tfx.dsl.io import fileio

from tests.processes import worker_processes
from tests.tfx_federated import small_job
from tff_runtime import job as job_lib
from tff_runtime.settings import executions
from tfx_federated import tff_process


def test_events_come_in_order_and_nothing_is_left_running(tmp_path):
    directory = small_job.write(tmp_path, rounds=2)
    events = []
    result = tff_process.run_job(directory, tff_process.find_tff_python(), events.append)
    rounds = ["round", "checkpoint"] * 2
    assert [event["event"] for event in events] == ["started", "training", *rounds, "compiled", "exporting", "finished"]
    assert sorted(path.name for path in result.iterdir()) == ["model", "run"]
    assert worker_processes() == []


def test_a_failed_job_raises_what_the_tff_side_said(tmp_path):
    directory = small_job.write(tmp_path, rounds=1, module="def model_fn(arguments):\n    raise KeyError('mistake')")
    with pytest.raises(tff_process.TrainingFailedError, match="mistake") as caught:
        tff_process.run_job(directory, tff_process.find_tff_python(), lambda event: None)
    assert caught.value.kind == "ModuleFile"
    assert not directory.result.exists()
    assert worker_processes() == []


def test_a_process_that_dies_without_a_word_shows_the_end_of_its_log(tmp_path):
    module = "import os, sys\nprint('last words', file=sys.stderr, flush=True)\nos.kill(os.getpid(), 9)"
    directory = small_job.write(tmp_path, rounds=1, module=module)
    with pytest.raises(tff_process.TrainingFailedError, match=r"by signal SIGKILL(.|\n)*last words"):
        tff_process.run_job(directory, tff_process.find_tff_python(), lambda event: None)


# Only to end a test that would wait for ever.
DEADLINE_SECONDS = 120

# The starter prints a line once the worker is there; the test then ends the starter and waits until nothing is left.
STARTER = """
import signal, sys
from tff_runtime import job
from tfx_federated import tff_process

# A shell starts background commands, and so perhaps these tests, with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def on_event(event):
    if event["event"] == "round":
        print("round", flush=True)

tff_process.run_job(job.JobDirectory(sys.argv[1]), tff_process.find_tff_python(), on_event)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_ended_starter_takes_the_tff_process_and_its_worker_with_it(tmp_path, number):
    directory = small_job.write(tmp_path, rounds=100_000, execution=executions.Native())
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STARTER), str(directory.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as starter:
        assert starter.stdout.readline() == b"round\n"
        (worker,) = worker_processes()
        starter.send_signal(number)
        starter.wait(DEADLINE_SECONDS)
    # The worker inherits the log file: once no process holds it, all are gone. fuser-like, through /proc.
    _wait_until_nobody_holds(directory.log)
    assert worker not in worker_processes()


def _wait_until_nobody_holds(file: pathlib.Path):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while any(_holds(process, file) for process in pathlib.Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline, f"a process still writes to {file}"


def _holds(process: pathlib.Path, file: pathlib.Path):
    try:
        return any(os.path.realpath(descriptor) == str(file) for descriptor in (process / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def test_the_argument_goes_before_the_environment_variable(monkeypatch, tmp_path):
    real = tff_process.find_tff_python()
    monkeypatch.setenv(tff_process.PYTHON_VARIABLE, str(tmp_path / "nowhere"))
    assert tff_process.find_tff_python(real) == real
    with pytest.raises(
        tff_process.TffInterpreterError, match=f"{tff_process.PYTHON_VARIABLE}: .*nowhere is no executable"
    ):
        tff_process.find_tff_python()


def test_an_interpreter_without_tff_is_refused_with_the_way_to_make_one():
    with pytest.raises(tff_process.TffInterpreterError, match=r"no tensorflow-federated.*install-tff DIR"):
        tff_process.find_tff_python(sys.executable)


def test_an_error_of_the_job_keeps_silo_and_round():
    error = tff_process.TrainingFailedError(job_lib.JobError("NonFiniteUpdate", "text", "a silo", 4))
    assert (str(error), error.silo, error.round_number) == ("NonFiniteUpdate: text", "a silo", 4)


def test_a_job_folder_removed_as_tfx_removes_it_takes_nothing_else_with_it(tmp_path):
    directory = small_job.write(tmp_path, rounds=1)
    tff_process.run_job(directory, tff_process.find_tff_python(), lambda event: None)
    fileio.rmtree(str(directory.path))
    assert pathlib.Path(job_lib.__file__).exists()
