"""How time and memory grow with the number of silos and with the rounds.

A cohort of 100 silos is drawn for each round from 10 to 100,000 silos of the same size: time should follow the cohort,
and memory the silos that are trained at one time. Then 500 rounds over 1,000 silos: memory should not grow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psutil

from benchmarks.trainer import comparison, process_tree, report, workloads
from benchmarks.trainer.contenders import ours
from benchmarks.trainer.contract import Workload
from tff_runtime import job as job_lib
from tff_runtime.settings import cohorts, executions

POPULATIONS = (10, 100, 1_000, 10_000, 100_000)
_COHORT = 100
_ROWS_PER_SILO = 16
_ROUNDS = 20
_MANY_ROUNDS = 500
_POPULATION_OF_MANY_ROUNDS = 1_000
_COLUMNS = ("silos", "cohort", "first s", "steady ms", "MiB")
_POLLING_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class Round:
    """One round of a job that was watched.

    Attributes:
        seconds: Seconds of its training.
        mebibytes: Memory of the job's processes just after it.
    """

    seconds: float
    mebibytes: float


def measure(folder: pathlib.Path, show: Callable[[str], None]) -> dict[str, Any]:
    """Trains with growing populations, then many rounds.

    Args:
        folder: Scratch folder; it is emptied.
        show: Is told the results.

    Returns:
        The results as JSON values.
    """
    shutil.rmtree(folder, ignore_errors=True)
    by_population = {silos: _train(folder / str(silos), silos, _ROUNDS) for silos in POPULATIONS}
    show(f"in_process, cohorts of {_COHORT} silos of {_ROWS_PER_SILO} rows, {_ROUNDS} rounds")
    show(report.table([_row(silos, rounds) for silos, rounds in by_population.items()], _COLUMNS))
    many = _train(folder / "many_rounds", _POPULATION_OF_MANY_ROUNDS, _MANY_ROUNDS)
    growth = _growth(many)
    show(f"{len(many)} rounds over {_POPULATION_OF_MANY_ROUNDS:,} silos: memory grew by {growth:.1f} MiB")
    return {
        "cohort": _COHORT,
        "rows_per_silo": _ROWS_PER_SILO,
        "populations": {silos: [dataclasses.asdict(one) for one in rounds] for silos, rounds in by_population.items()},
        "many_rounds": [dataclasses.asdict(one) for one in many],
        "growth_mebibytes": growth,
    }


def _train(folder: pathlib.Path, silos: int, rounds: int) -> list[Round]:
    design = workloads.Design((32, 1), lambda random: np.full(silos, _ROWS_PER_SILO), 0.1)
    workloads.draw("population", design, rounds=1).write(folder / "workload")
    directory = ours.write_job(
        folder / "job",
        Workload.read(folder / "workload"),
        rounds,
        execution=executions.InProcess(),
        cohort=cohorts.UniformSample(min(_COHORT, silos)),
    )
    watched = _watch(directory, folder / "log.txt")
    shutil.rmtree(folder)
    return watched


def _watch(directory: job_lib.JobDirectory, log: pathlib.Path) -> list[Round]:
    """Runs a job and looks at its memory whenever it reports a round.

    Raises:
        ContenderError: The job failed.
    """
    rounds: list[Round] = []
    with log.open("wb") as printed:
        job = subprocess.Popen(
            ours.command(directory),
            env=comparison.variables({}),
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )
    try:
        process = psutil.Process(job.pid)
        while job.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.wait(_POLLING_SECONDS)
            ended = [event for event in ours.events(directory) if event["event"] == "round"]
            if len(ended) > len(rounds):
                memory = _memory(process)
                rounds += [Round(event["seconds"], memory) for event in ended[len(rounds) :]]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
    if job.returncode:
        raise comparison.ContenderError(f"exit code {job.returncode}: {log.read_text('utf-8', 'replace')[-2000:]}")
    return rounds


def _memory(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process_tree.resident_mebibytes([process, *process.children(recursive=True)])
    return 0.0


def _row(silos: int, rounds: Sequence[Round]) -> list[str]:
    steady = statistics.median(one.seconds for one in rounds[1:])
    memory = statistics.median(one.mebibytes for one in rounds[len(rounds) // 2 :])
    return [
        f"{silos:,}",
        str(min(_COHORT, silos)),
        f"{rounds[0].seconds:.2f}",
        f"{1000 * steady:.2f}",
        f"{memory:.0f}",
    ]


def _growth(rounds: Sequence[Round]) -> float:
    """Returns by how much the memory of the last tenth of the rounds is above that of the second tenth, in MiB."""
    tenth = len(rounds) // 10
    early, late = rounds[tenth : 2 * tenth], rounds[-tenth:]
    return statistics.median(one.mebibytes for one in late) - statistics.median(one.mebibytes for one in early)
