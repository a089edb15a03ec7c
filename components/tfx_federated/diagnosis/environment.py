"""Checks of this machine: the two interpreters, their packages, and what training needs of the host."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import tff_runtime
from tfx_federated import tff_process
from tfx_federated.diagnosis.checks import Check, Status, fail, ok, warn

_PACKAGE = "tfx-federated"
_INSTALL = "pip install 'tfx-federated[tfx]' into an environment of its own"
# What the checks name, besides the package's own requirements.
_OF_TFX = ("tensorflow", "apache-beam", "tensorflow-model-analysis", "kfp")
_GIB = 2**30
# The wheel of TensorFlow Federated is built for it (manylinux_2_31); that of TensorFlow for an older one.
_GLIBC = (2, 31)
_DISK_GIB = 6
_MEMORY_GIB = 4
_SHARED_MEMORY_MIB = 64
_PROBE_SECONDS = 180
_GPU_SECONDS = 20

# Runs in the TFF interpreter: its packages, and whether it takes this checkout's tff_runtime.
_PROBE = """
import importlib.metadata as metadata, importlib.util, json, platform
found = {
    "python": platform.python_version(),
    "tensorflow": metadata.version("tensorflow"),
    "sees_tfx": importlib.util.find_spec("tfx") is not None,
}
import tff_runtime.learning.training
print(json.dumps(found))
"""


def checks() -> Iterator[Check]:
    """Yields the results for this machine. Starts the TFF interpreter, which takes some seconds."""
    yield from _python()
    yield from _glibc()
    yield from _packages()
    yield from _tff_interpreter()
    yield from _temporary_folder()
    yield from _memory()
    yield from _shared_memory()
    yield from _gpu()


def _python() -> Iterator[Check]:
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] in ((3, 10), (3, 11)):
        yield ok("Python", found)
    else:
        yield fail("Python", found, "TFX 1.21 runs on CPython 3.10 and 3.11: make an environment with python3.11")


def _glibc() -> Iterator[Check]:
    name, version = platform.libc_ver()
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if name == "glibc" and numbers >= _GLIBC:
        yield ok("glibc", version)
    else:
        needed = ".".join(map(str, _GLIBC))
        yield fail(
            "glibc",
            f"{name or 'another C library'} {version}".strip(),
            f"TensorFlow Federated is built for glibc {needed}: take a newer distribution, or an image with one",
        )


def _packages() -> Iterator[Check]:
    try:
        from packaging.requirements import Requirement

        own = [Requirement(text) for text in importlib.metadata.requires(_PACKAGE) or []]
    except importlib.metadata.PackageNotFoundError:
        yield fail(_PACKAGE, "not installed in this interpreter", _INSTALL)
        return
    except ImportError:
        yield fail("packages", "the extra 'tfx' is not installed", _INSTALL)
        return
    wanted = [each for each in own if each.marker and each.marker.evaluate({"extra": "tfx"})]
    try:
        of_tfx = [Requirement(text) for text in importlib.metadata.requires("tfx") or []]
    except importlib.metadata.PackageNotFoundError:
        of_tfx = []
    # TFX's other pins are left to the lock, which replaces two of them on purpose.
    wanted += [
        each for each in of_tfx if each.name in _OF_TFX and (not each.marker or each.marker.evaluate({"extra": "kfp"}))
    ]
    results = {requirement.name: _package(requirement) for requirement in wanted}
    small = [name for name, check in results.items() if check.status is Status.OK and name not in ("tfx", *_OF_TFX)]
    yield from (check for name, check in results.items() if name not in small)
    if small:
        yield ok("other packages", ", ".join(f"{name} {results[name].finding}" for name in small))


def _package(requirement: Any) -> Check:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return fail(requirement.name, f"missing; wanted: {requirement.specifier or 'any'}", _INSTALL)
    if not requirement.specifier.contains(version, prereleases=True):
        return fail(
            requirement.name,
            f"{version}; wanted: {requirement.specifier}",
            f"pip install '{requirement.name}{requirement.specifier}', or: {_INSTALL}",
        )
    return ok(requirement.name, version)


def _tff_interpreter() -> Iterator[Check]:
    try:
        python = tff_process.find_tff_python()
    except tff_process.TffInterpreterError as error:
        yield fail("TFF interpreter", str(error).partition(". ")[0], f"Only training needs it. {_after_point(error)}")
        return
    yield ok("TFF interpreter", f"{python}, tensorflow-federated {tff_process.TFF_VERSION}")
    remake = "make it anew: tfx-federated install-tff DIR"
    found, problem = _probe(python)
    if found is None:
        yield fail("tff_runtime", f"cannot be imported there: {problem}", remake)
        return
    yield ok("tff_runtime", f"imports there, Python {found['python']}, tensorflow {found['tensorflow']}")
    if found["sees_tfx"]:
        yield warn("separation", f"{python} sees tfx, whose TensorFlow is another", remake)
    elif importlib.util.find_spec("tensorflow_federated"):
        yield warn(
            "separation",
            f"{sys.executable} sees tensorflow_federated, whose TensorFlow is another",
            "take it out of this environment, or of the user's site-packages",
        )
    else:
        yield ok("separation", "neither interpreter sees the other's framework")


def _after_point(error: Exception) -> str:
    return str(error).partition(". ")[2]


def _probe(python: str) -> tuple[dict[str, Any] | None, str]:
    """Returns what the TFF interpreter says of itself, or None and why it does not."""
    # Only tff_runtime on its path, as in a training: the folder it lies in would lead to this side's TensorFlow.
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(tff_runtime.__file__).parent
        shutil.copytree(source, pathlib.Path(folder) / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        try:
            completed = subprocess.run(
                [python, "-c", _PROBE],
                capture_output=True,
                text=True,
                env={**environment, "PYTHONPATH": folder},
                timeout=_PROBE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, f"no answer within {_PROBE_SECONDS} s"
    if completed.returncode != 0:
        return None, (completed.stderr.strip().splitlines() or [f"exit code {completed.returncode}"])[-1]
    return json.loads(completed.stdout.splitlines()[-1]), ""


def _temporary_folder() -> Iterator[Check]:
    try:
        with tempfile.NamedTemporaryFile(prefix="tfx-federated-doctor-") as file:
            file.write(b"written")
            file.flush()
        folder = tempfile.gettempdir()
    except OSError as error:
        yield fail("temporary folder", str(error), "name a writable folder with space in the variable TMPDIR")
        return
    yield ok("temporary folder", f"{folder} is writable")
    free = shutil.disk_usage(folder).free / _GIB
    if free >= _DISK_GIB:
        yield ok("free disk", f"{free:.0f} GiB in {folder}")
    else:
        yield warn(
            "free disk",
            f"{free:.1f} GiB in {folder}; the environments take about {_DISK_GIB}",
            "free some, or name another disk in the variable TMPDIR",
        )


def _memory() -> Iterator[Check]:
    available = _available_memory() / _GIB
    if available >= _MEMORY_GIB:
        yield ok("free memory", f"{available:.1f} GiB")
    else:
        yield warn(
            "free memory",
            f"{available:.1f} GiB; the two interpreters of a training need about {_MEMORY_GIB} for a small model",
            "end other programs, or raise the container's memory limit (memory in the placement)",
        )


def _available_memory() -> int:
    """Returns the bytes that are free for this process: the machine's, or those left of its container's limit."""
    lines = pathlib.Path("/proc/meminfo").read_text("ascii").splitlines()
    of_machine = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    group = pathlib.Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text("ascii"))
        used = int((group / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return of_machine
    return min(of_machine, max(limit - used, 0))


def _shared_memory() -> Iterator[Check]:
    try:
        size = shutil.disk_usage("/dev/shm").total / 2**20
    except OSError as error:
        yield warn("/dev/shm", str(error), "mount one (shared_memory in the placement)")
        return
    if size >= _SHARED_MEMORY_MIB:
        yield ok("/dev/shm", f"{size:,.0f} MiB")
    else:
        yield warn(
            "/dev/shm",
            f"{size:,.0f} MiB, less than containers get by default",
            "raise it: shared_memory in the placement, --shm-size for docker",
        )


def _gpu() -> Iterator[Check]:
    program = shutil.which("nvidia-smi")
    if program is None:
        yield ok("GPU", "none (no nvidia-smi); everything runs on the CPU")
        return
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        completed = subprocess.run(command, capture_output=True, text=True, timeout=_GPU_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield warn("GPU", f"nvidia-smi: {error}", "see whether the driver is loaded: nvidia-smi")
        return
    devices = completed.stdout.strip().splitlines()
    if completed.returncode != 0 or not devices:
        message = " ".join((completed.stdout + completed.stderr).split()) or f"exit code {completed.returncode}"
        yield warn("GPU", f"nvidia-smi: {message}", "see whether the driver is loaded and the container has the device")
    else:
        yield ok("GPU", "; ".join(devices))
