"""The TFF interpreter as a child process: finds it, starts it, passes its progress on, ends it and all its children.

TensorFlow Federated needs another TensorFlow than TFX (docs/architecture.md), so that it runs in an interpreter of its
own. The child leads a process group, and ends that group by itself when its standard input closes: so nothing of it
outlives this process, not even when this process is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tff_runtime import job as job_lib

PYTHON_VARIABLE = "TFX_FEDERATED_TFF_PYTHON"
TFF_VERSION = "0.87.0"
_INSTALL_HINT = (
    "Make one with `tfx-federated install-tff DIR` and name it in the environment variable "
    f"{PYTHON_VARIABLE}=DIR/bin/python, or in the component's tff_python"
)
_POLL_SECONDS = 0.2
_END_SECONDS = 10
_LOG_TAIL_CHARACTERS = 4000


class TffInterpreterError(RuntimeError):
    """There is no interpreter with the TensorFlow Federated that this version needs."""


class TrainingFailedError(RuntimeError):
    """The training stopped in the TFF interpreter; the message is what it said.

    Attributes:
        kind: Name of the reason, as in `tff_runtime.job.JobError`.
        silo: The silo it is about, if it is about one.
        round_number: The round it happened in, if it happened in one.
    """

    def __init__(self, error: job_lib.JobError) -> None:
        super().__init__(f"{error.kind}: {error}")
        self.kind = error.kind
        self.silo = error.silo
        self.round_number = error.round_number


def find_tff_python(tff_python: str | None = None) -> str:
    """Returns the path of the TFF interpreter.

    Tried in this order, the first that is there counts: the argument, the environment variable
    `TFX_FEDERATED_TFF_PYTHON`, the environment of the checkout this package lies in, and this interpreter.

    Args:
        tff_python: Path of a Python with TensorFlow Federated installed, or None.

    Returns:
        The path of an interpreter whose TensorFlow Federated has the right version.

    Raises:
        TffInterpreterError: There is none, or the first that is there has not the right version.
    """
    origin, python = next(_candidates(tff_python))
    if not os.access(python, os.X_OK):
        raise TffInterpreterError(f"{origin}: {python} is no executable. {_INSTALL_HINT}")
    version = _installed_tff_version(python)
    if version != TFF_VERSION:
        found = f"tensorflow-federated {version}" if version else "no tensorflow-federated"
        raise TffInterpreterError(f"{origin}: {python} has {found}; {TFF_VERSION} is needed. {_INSTALL_HINT}")
    return python


def _candidates(tff_python: str | None) -> Iterator[tuple[str, str]]:
    if tff_python:
        yield "tff_python", tff_python
    if os.environ.get(PYTHON_VARIABLE):
        yield f"environment variable {PYTHON_VARIABLE}", os.environ[PYTHON_VARIABLE]
    checkout = pathlib.Path(__file__).resolve().parents[2] / ".environments" / "tff" / "bin" / "python"
    if checkout.exists():
        yield "the checkout's environment", str(checkout)
    yield "this interpreter", sys.executable


def _installed_tff_version(python: str) -> str | None:
    script = "import importlib.metadata as m; print(m.version('tensorflow-federated'))"
    completed = subprocess.run(
        [python, "-c", script], capture_output=True, text=True, env=_environment(None), check=False
    )
    return completed.stdout.strip() if completed.returncode == 0 else None


def _environment(python_path: pathlib.Path | None) -> dict[str, str]:
    """Returns this process's environment without what would lead the other interpreter to this one's packages."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    # TensorFlow's messages of errors hold values of tensors, and so of rows.
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if python_path is not None:
        environment["PYTHONPATH"] = str(python_path)
    return environment


def run_job(
    directory: job_lib.JobDirectory, tff_python: str, on_event: Callable[[Mapping[str, Any]], None]
) -> pathlib.Path:
    """Runs a job in the TFF interpreter until it ends.

    Args:
        directory: The job's files.
        tff_python: Path of the TFF interpreter.
        on_event: Called with each event of `progress.jsonl` as it comes.

    Returns:
        The folder of the result.

    Raises:
        TrainingFailedError: The job failed; or its process died, then with the end of its log.
    """
    directory.progress.unlink(missing_ok=True)
    with directory.log.open("ab") as log, _started(directory, tff_python, log) as process:
        events = _Events(directory.progress)
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
            for event in events.new():
                on_event(event)
    if process.returncode == 0:
        return directory.result
    raise TrainingFailedError(_reason(directory, process.returncode))


@contextlib.contextmanager
def _started(directory: job_lib.JobDirectory, tff_python: str, log: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [tff_python, "-m", "tff_runtime", "--end-with-stdin", str(directory.path)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=_environment(_python_path(directory)),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end_group(process)


def _python_path(directory: job_lib.JobDirectory) -> pathlib.Path:
    """Returns a folder that holds this very `tff_runtime` and nothing else, so that both sides speak one contract.

    The folder it is installed in would lead the TFF interpreter to TFX's TensorFlow too. It is a copy: TensorFlow's
    `rmtree`, with which TFX cleans up, follows a symbolic link and deletes what it points to.
    """
    folder = directory.path / "python_path"
    shutil.rmtree(folder, ignore_errors=True)
    source = pathlib.Path(job_lib.__file__).resolve().parent
    shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(_END_SECONDS)


def _reason(directory: job_lib.JobDirectory, exit_code: int) -> job_lib.JobError:
    if directory.error.exists():
        return job_lib.JobError.from_json(directory.error.read_text("utf-8"))
    log = directory.log.read_text("utf-8", errors="replace")[-_LOG_TAIL_CHARACTERS:]
    how = f"by signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"with exit code {exit_code}"
    return job_lib.JobError(
        "ProcessDied", f"the TFF process ended {how} and gave no reason; the end of its log:\n{log}"
    )


class _Events:
    def __init__(self, file: pathlib.Path) -> None:
        self._file = file
        self._offset = 0

    def new(self) -> list[Mapping[str, Any]]:
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
