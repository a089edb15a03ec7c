"""Runs a command and measures all the processes that it starts, those that outlive their parents included.

The command runs under a small process of its own that adopts orphans (Linux' child subreaper) and, when the command is
over, ends and reaps whatever is left. So the processor time is the kernel's own sum over every process of the tree.
Memory is sampled: the sum of the resident sets of all processes of the tree, five times a second. A page that several
processes share counts in each, and a peak between two samples is missed.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence

import psutil

_SAMPLING_SECONDS = 0.2
_MEBIBYTE = 2**20
_PR_SET_CHILD_SUBREAPER = 36


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a command took.

    Attributes:
        exit_code: Exit code of the command, negative for a signal; None where it was ended at the time limit.
        wall_seconds: From the command's start to its end.
        cpu_seconds: User and system time of the whole tree.
        peak_mebibytes: Largest sampled memory of the whole tree.
    """

    exit_code: int | None
    wall_seconds: float
    cpu_seconds: float
    peak_mebibytes: float


def measure(
    command: Sequence[str], variables: Mapping[str, str], time_limit: float, output: pathlib.Path
) -> Measurement:
    """Runs a command to its end.

    Args:
        command: Program and arguments.
        variables: Environment variables, all of them.
        time_limit: Seconds after which the command and its children are killed.
        output: File for what the command prints.

    Returns:
        What it took. None of its processes is left.
    """
    with tempfile.TemporaryDirectory() as folder, output.open("wb") as printed:
        report = pathlib.Path(folder, "measurement.json")
        program = [sys.executable, __file__, str(report), str(time_limit), *command]
        subprocess.run(
            program, env=dict(variables), stdout=printed, stderr=printed, stdin=subprocess.DEVNULL, check=True
        )
        return Measurement(**json.loads(report.read_text("utf-8")))


def resident_mebibytes(processes: Iterable[psutil.Process]) -> float:
    """Returns the memory that the processes hold now; those that have ended hold none."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / _MEBIBYTE


def _run(command: Sequence[str], time_limit: float) -> Measurement:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # A driver that is ended must not leave the command behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    peak = 0.0
    start = time.monotonic()
    try:
        child = subprocess.Popen(command)
        while child.poll() is None and time.monotonic() - start < time_limit:
            peak = max(peak, resident_mebibytes(_descendants()))
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_SAMPLING_SECONDS)
        seconds, exit_code = time.monotonic() - start, child.returncode
    finally:
        _end_descendants()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measurement(exit_code, seconds, used.ru_utime + used.ru_stime, peak)


def _end_descendants() -> None:
    """Kills and reaps until there is no child left: the children of those that end become ours."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for descendant in _descendants():
                with contextlib.suppress(psutil.NoSuchProcess):
                    descendant.kill()
            os.waitpid(-1, 0)


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


if __name__ == "__main__":
    _report, _time_limit, *_command = sys.argv[1:]
    _measured = _run(_command, float(_time_limit))
    pathlib.Path(_report).write_text(json.dumps(dataclasses.asdict(_measured)), "utf-8")
