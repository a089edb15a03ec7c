"""Makes the environment of the TFF interpreter: CPython 3.11 with TensorFlow Federated, from the lock shipped here."""

from __future__ import annotations

import argparse
import pathlib
import shutil
import subprocess
import sys

from tfx_federated import tff_process

PYTHON_VARIABLE = tff_process.PYTHON_VARIABLE
_PYTHON = "python3.11"


class InstallationError(RuntimeError):
    """The environment cannot be made."""


def install(directory: pathlib.Path) -> pathlib.Path:
    """Makes the environment.

    Args:
        directory: The folder to make.

    Returns:
        The path of its interpreter.

    Raises:
        InstallationError: The folder exists, there is no CPython 3.11, or a package cannot be installed. A folder that
            was begun is removed.
    """
    if directory.exists():
        raise InstallationError(f"{directory} exists; name a folder that does not, or remove it first")
    python = _python_311()
    environment_python = directory.resolve() / "bin" / "python"
    try:
        _run([python, "-m", "venv", str(directory)])
        pip = [str(environment_python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        _run([*pip, "--no-deps", "--require-hashes", "-r", str(_lock())])
        tff_process.find_tff_python(str(environment_python))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return environment_python


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfx-federated install-tff`."""
    parser.add_argument("directory", type=pathlib.Path, metavar="DIR", help="folder to make; it must not exist")


def run(parsed: argparse.Namespace) -> int:
    """Makes the environment that the command line names.

    Returns:
        The exit code.

    Raises:
        InstallationError: See `install`.
    """
    python = install(parsed.directory)
    print(f"TensorFlow Federated is installed. Let the trainer find it:\n\n    export {PYTHON_VARIABLE}={python}")
    return 0


def _python_311() -> str:
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    python = shutil.which(_PYTHON)
    if python is None:
        raise InstallationError(f"CPython 3.11 is needed and {_PYTHON} is not on PATH; install it and try again")
    return python


def _lock() -> pathlib.Path:
    """Returns the lock: package data of an installed package, a file of the checkout otherwise."""
    package = pathlib.Path(__file__).resolve().parent
    for file in (package / "requirements" / "tff.txt", package.parents[1] / "requirements" / "tff.txt"):
        if file.exists():
            return file
    raise InstallationError(f"the lock requirements/tff.txt is missing beside {package}; install tfx-federated again")


def _run(command: list[str]) -> None:
    completed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if completed.returncode != 0:
        raise InstallationError(f"`{' '.join(command)}` failed:\n{completed.stdout.strip()}")
