"""Compares the FairnessEvaluator with TFMA's own evaluator and with NumPy: `make benchmark-fairness`."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.post_export_metrics import metric_keys

from benchmarks.fairness import workloads
from benchmarks.trainer import machine, process_tree

REPOSITORY = pathlib.Path(__file__).parents[2]
# TFMA's own evaluator holds an accumulator for each of 100,000 silos and metric; it takes most of an hour.
PLAN = {
    "silos_10": ("ours", "floor", "tfma"),
    "silos_1000": ("ours", "floor", "tfma", "tfma_intervals"),
    "silos_10000": ("ours", "floor", "tfma"),
    "silos_100000": ("ours", "floor"),
}
_TIME_LIMIT = 3600.0
_TOLERANCE = 1e-6


def main() -> int:
    """Reads the command line, runs the benchmark and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness")
    parser.add_argument("--workloads", nargs="*", choices=PLAN, default=list(PLAN))
    parser.add_argument("--contenders", nargs="*", default=["ours", "floor", "tfma", "tfma_intervals"])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/benchmarks/fairness.json"))
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    results: dict[str, Any] = {"machine": machine.description(REPOSITORY), "workloads": {}}
    for name in arguments.workloads:
        contenders = [contender for contender in PLAN[name] if contender in arguments.contenders]
        results["workloads"][name] = _run(name, contenders, output.parent / "fairness" / name)
        _show(name, results["workloads"][name])
    results["goals"] = _goals(results["workloads"])
    for goal in results["goals"]:
        print(f"{'met' if goal['met'] else 'missed':7} {goal['goal']}: {goal['value']:.3g}")
    output.write_text(json.dumps(results, indent=1), "utf-8")
    print(f"Written to {output}.")
    return 0


def _run(name: str, contenders: list[str], folder: pathlib.Path) -> dict[str, Any]:
    data = folder / "data"
    workloads.write(workloads.WORKLOADS[name], data)
    measured: dict[str, Any] = {}
    for contender in contenders:
        output = folder / contender
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        command = [sys.executable, "-m", "benchmarks.fairness.contenders", contender, str(data), str(output)]
        variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
        found = process_tree.measure(command, variables, _TIME_LIMIT, folder / f"{contender}.txt")
        if found.exit_code != 0:
            raise RuntimeError(f"{contender} failed on {name}; see {folder / contender}.txt")
        measured[contender] = {
            "wall_seconds": found.wall_seconds,
            "cpu_seconds": found.cpu_seconds,
            "peak_gb": found.peak_mebibytes / 1024,
            "work": json.loads((output / "work.json").read_text("utf-8")),
        }
    for plain in {"tfma", "tfma_intervals"} & set(measured):
        if "ours" in measured:
            _require_equal(folder / "ours" / "evaluation", folder / plain / "evaluation", plain)
    return {**_ratios(measured), "contenders": measured}


def _ratios(measured: Mapping[str, Any]) -> dict[str, float]:
    ratios: dict[str, float] = {}
    if "ours" in measured:
        ratios |= {"seconds": measured["ours"]["wall_seconds"], "peak_gb": measured["ours"]["peak_gb"]}
        for plain in {"tfma", "tfma_intervals"} & set(measured):
            ratios[f"ours/{plain}"] = measured["ours"]["work"]["cpu_seconds"] / measured[plain]["work"]["cpu_seconds"]
            ratios[f"ours/{plain} with imports"] = measured["ours"]["cpu_seconds"] / measured[plain]["cpu_seconds"]
        if "floor" in measured:
            ratios["ours/floor"] = measured["ours"]["work"]["wall_seconds"] / measured["floor"]["work"]["wall_seconds"]
    return ratios


def _require_equal(ours: pathlib.Path, theirs: pathlib.Path, name: str) -> None:
    """Raises AssertionError unless every metric of every slice is TFMA's, where TFMA has one.

    Its intervals leave a slice without any metric if a bootstrap sample has no row of it.
    """
    found, expected = _metrics(ours), _metrics(theirs)
    assert set(found) == set(expected), f"{name}: other slices"
    for slice_key, metrics in expected.items():
        for key, value in metrics.items():
            if key == metric_keys.ERROR_METRIC:
                continue
            own = found[slice_key][key]
            assert abs(own - value) <= _TOLERANCE or (own != own and value != value), (name, slice_key, key, own, value)


def _metrics(folder: pathlib.Path) -> dict[bytes, dict[str, float]]:
    return {
        metrics.slice_key.SerializeToString(): {
            pair.key.name: pair.value.double_value.value for pair in metrics.metric_keys_and_values
        }
        for metrics in tfma.load_metrics(str(folder))
    }


def _goals(measured: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    goals = [
        ("silos_1000", "ours/tfma", 1 / 20, "CPU seconds over TFMA's at 1,000 silos, at most 0.05"),
        ("silos_10000", "ours/tfma", 1 / 20, "the same at 10,000 silos, at most 0.05"),
        ("silos_1000", "ours/tfma_intervals", 1 / 50, "the same at 1,000 silos with intervals, at most 0.02"),
        ("silos_100000", "seconds", 90.0, "seconds at 100,000 silos with intervals, at most 90"),
        ("silos_100000", "peak_gb", 4.0, "gigabytes at 100,000 silos, at most 4"),
    ]
    return [
        {"goal": text, "value": measured[workload][field], "met": measured[workload][field] <= limit}
        for workload, field, limit, text in goals
        if field in measured.get(workload, {})
    ]


def _show(name: str, fields: Mapping[str, Any]) -> None:
    print(f"\n{name:22} {'wall s':>9} {'CPU s':>9} {'peak GB':>8} {'wall s':>9} {'CPU s':>9} after imports")
    for contender, values in fields["contenders"].items():
        print(
            f"{contender:22} {values['wall_seconds']:9.1f} {values['cpu_seconds']:9.1f} {values['peak_gb']:8.2f} "
            f"{values['work']['wall_seconds']:9.3f} {values['work']['cpu_seconds']:9.3f}",
            flush=True,
        )
    for field, value in fields.items():
        if field.startswith("ours/"):
            print(f"{field:36} {value:9.3g}")


if __name__ == "__main__":
    sys.exit(main())
