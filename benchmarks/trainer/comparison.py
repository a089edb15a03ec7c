"""Runs the contenders on a workload, in turn, and keeps what they took where their result is right."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.trainer import contract, network, plan, process_tree, workloads
from benchmarks.trainer.contenders import CONTENDERS, Contender, numpy_training

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LOSS_TOLERANCE = 1e-4


class ContenderError(Exception):
    """A contender that has no time to report: it failed, did not finish in time, or trained something else."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a contender.

    Attributes:
        seconds: Seconds of each round.
        measurement: What its processes took, start and end included.
        final_loss: Mean loss of its final weights over all rows.
        versions: Versions of its packages.
    """

    seconds: Sequence[float]
    measurement: process_tree.Measurement
    final_loss: float
    versions: Mapping[str, str]


class Comparison:
    """The contenders on one workload.

    Attributes:
        workload: The workload.
        runs: The runs of each contender.
        errors: Why a contender has no runs to report, by contender.
    """

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        """Draws the workload and trains it in NumPy.

        Args:
            name: Name of the workload.
            folder: Scratch folder; it is emptied.
        """
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self.workload = workloads.draw(name, workloads.DESIGNS[name], plan.most_rounds(name))
        self.workload.write(folder / "workload")
        self._losses = [self._loss(weights) for weights in numpy_training.rounds(self.workload)]
        self.runs: dict[str, list[Run]] = {}
        self.errors: dict[str, str] = {}

    def run(self, contenders: Sequence[str], repeats: int, report: Callable[[str], None]) -> None:
        """Runs every contender, then every contender again, so that a slow moment of the machine meets all.

        Args:
            contenders: Names of the contenders.
            repeats: Runs of each at most; a contender's plan may say fewer.
            report: Is told about each run.
        """
        for repeat in range(repeats):
            for name in contenders:
                if name in self.errors or repeat >= plan.of(self.workload.name, name).repeats:
                    continue
                try:
                    run = self._run(name)
                except ContenderError as error:
                    self.errors[name] = str(error)
                    self.runs.pop(name, None)
                    report(f"{self.workload.name} {name}: {error}")
                else:
                    self.runs.setdefault(name, []).append(run)
                    report(f"{self.workload.name} {name}: {_milliseconds(run)}")

    def _run(self, name: str) -> Run:
        """Runs a contender once.

        Raises:
            ContenderError: There is no right result.
        """
        contender, rounds = CONTENDERS[name], plan.of(self.workload.name, name).rounds
        result_folder, log = self._folder / name, self._folder / f"{name}.log"
        shutil.rmtree(result_folder, ignore_errors=True)
        python = interpreter(contender)
        if not python.exists():
            raise ContenderError(f"no environment {contender.environment}: make benchmark-trainer makes it")
        module = f"benchmarks.trainer.contenders.{contender.module}"
        arguments = [self._folder / "workload", rounds, result_folder, *contender.options]
        command = [str(python), "-m", module, *map(str, arguments)]
        measurement = process_tree.measure(command, variables(contender.variables), plan.TIME_LIMIT, log)
        if measurement.exit_code is None:
            raise ContenderError(f"did not finish {rounds} rounds in {plan.TIME_LIMIT:.0f} s")
        if measurement.exit_code:
            raise ContenderError(f"exit code {measurement.exit_code}, see {log}")
        result = contract.Result.read(result_folder)
        loss = self._loss(result.weights)
        require_equal_loss(loss, self._losses[rounds - 1])
        return Run(result.seconds, measurement, loss, result.versions)

    def _loss(self, weights: network.Weights) -> float:
        return network.loss(weights, self.workload.features, self.workload.labels)


def require_equal_loss(loss: float, expected: float) -> None:
    """Refuses the times of a contender that trained something else.

    Raises:
        ContenderError: The losses differ by more than `LOSS_TOLERANCE`, or one is no number.
    """
    if not abs(loss - expected) <= LOSS_TOLERANCE:
        raise ContenderError(f"final loss {loss:.6f}, NumPy's is {expected:.6f}: not the same training")


def interpreter(contender: Contender) -> pathlib.Path:
    """Returns the Python of a contender's environment."""
    return REPOSITORY / ".environments" / contender.environment / "bin/python"


def variables(more: Mapping[str, str]) -> dict[str, str]:
    """Returns a contender's environment variables: no GPU, the libraries' usual threads, and those given."""
    paths = os.pathsep.join(map(str, [REPOSITORY / "components", REPOSITORY]))
    fixed = {"PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return {**os.environ, **fixed, **more}


def summary(comparison: Comparison) -> dict[str, Any]:
    """Returns what the runs of a workload show, as JSON values.

    Times are in seconds. The steady time of a run is the median of its rounds after the first; a contender's is the
    median of those of its runs.
    """
    workload = comparison.workload
    silos = len(workload.counts)
    contenders = {name: _summary_of_runs(runs) for name, runs in comparison.runs.items()}
    if "floor" in contenders:
        floor = contenders["floor"]["steady_seconds"]
        for fields in contenders.values():
            fields["ratio_to_floor"] = fields["steady_seconds"] / floor
            overhead = (fields["steady_seconds"] - floor) / silos
            fields["overhead_milliseconds_per_silo_and_round"] = 1000 * overhead
    return {
        "silos": silos,
        "rows": int(workload.counts.sum()),
        "steps_per_round": sum(len(workload.batches(int(count))) for count in workload.counts),
        "contenders": contenders,
        "errors": comparison.errors,
    }


def _summary_of_runs(runs: Sequence[Run]) -> dict[str, Any]:
    steady = [_steady(run) for run in runs]
    return {
        "versions": dict(runs[0].versions),
        "rounds": len(runs[0].seconds),
        "repeats": len(runs),
        "first_round_seconds": statistics.median(run.seconds[0] for run in runs),
        "steady_seconds": statistics.median(steady),
        "steady_seconds_of_repeats": steady,
        "wall_seconds": statistics.median(run.measurement.wall_seconds for run in runs),
        "cpu_seconds": statistics.median(run.measurement.cpu_seconds for run in runs),
        "peak_mebibytes": max(run.measurement.peak_mebibytes for run in runs),
        "final_loss": runs[0].final_loss,
        "runs": [{"seconds": list(run.seconds), **dataclasses.asdict(run.measurement)} for run in runs],
    }


def _steady(run: Run) -> float:
    return statistics.median(run.seconds[1:])


def _milliseconds(run: Run) -> str:
    return f"first round {1000 * run.seconds[0]:.1f} ms, then {1000 * _steady(run):.2f} ms"
