"""TFF's C++ runtime as one child process on this machine."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
from collections.abc import Iterator

import tensorflow_federated as tff


@contextlib.contextmanager
def native_runtime() -> Iterator[None]:
    """Runs TFF computations in TFF's C++ runtime, and ends that process on the way out.

    TFF starts a `worker_binary` at the first computation and leaves it behind when Python exits.
    """
    tff.backends.native.set_sync_local_cpp_execution_context()
    try:
        yield
    finally:
        end_child_processes()


def end_child_processes() -> None:
    """Kills every child process of this one and waits for it."""
    for child in _child_processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _child_processes() -> list[int]:
    threads = pathlib.Path("/proc/self/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
