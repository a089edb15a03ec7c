"""What the numbers were taken on."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
from typing import Any

import psutil


def description(repository: pathlib.Path) -> dict[str, Any]:
    """Returns processor, memory, load before the benchmark and commit, as JSON values."""
    models = [
        line.partition(":")[2].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": models[0] if models else platform.machine(),
        "memory_gibibytes": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "load_average": os.getloadavg()[0],
        "commit": _git(repository, "rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git(repository, "status", "--porcelain")),
    }


def _git(repository: pathlib.Path, *arguments: str) -> str | None:
    finished = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=False)
    return finished.stdout.strip() if finished.returncode == 0 else None
