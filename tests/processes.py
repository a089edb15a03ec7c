"""Looks for what a training might leave behind."""

import os
import pathlib

# Children inherit it: tests that run beside these, or anything else on the machine, is told apart.
_MARK = "TFX_FEDERATED_TEST_PROCESS"
os.environ[_MARK] = str(os.getpid())


def worker_processes():
    """Returns the command lines of all running TFF workers that the tests of this process started."""
    mark = f"{_MARK}={os.getpid()}".encode()
    return [
        command
        for command, environment in map(_command_and_environment, pathlib.Path("/proc").glob("[0-9]*"))
        if b"worker_binary" in command and mark in environment.split(b"\0")
    ]


def _command_and_environment(process):
    try:
        return (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b"", b""
