"""Compares the trainer with other frameworks: `make benchmark-trainer`.

Prints a table for each workload and what became of the goals, and writes all of it to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from typing import Any

from benchmarks.trainer import comparison, goals, machine, plan, population, report, workloads
from benchmarks.trainer.contenders import CONTENDERS

# Below this load the machine counts as idle.
_IDLE_LOAD = 0.5


def main() -> int:
    """Reads the command line, runs the benchmark and returns the exit code."""
    arguments = _parse_arguments()
    output = arguments.output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": machine.description(comparison.REPOSITORY), "workloads": {}}
    if results["machine"]["load_average"] > _IDLE_LOAD:
        print(f"The machine is busy (load average {results['machine']['load_average']:.1f}): times will be too long.")
    for name in arguments.workloads:
        compared = comparison.Comparison(name, output.parent / "trainer" / name)
        compared.run(arguments.contenders, arguments.repeats, _show)
        results["workloads"][name] = comparison.summary(compared)
        _show("\n" + report.workload_table(name, results["workloads"][name]) + "\n")
    results["goals"] = _check_goals(results["workloads"])
    if arguments.population:
        results["population"] = population.measure(output.parent / "trainer" / "population", _show)
    output.write_text(json.dumps(results, indent=1), "utf-8")
    _show(f"Written to {output}.")
    missed = any(goal["met"] is False for goal in results["goals"])
    failed = any(fields["errors"] for fields in results["workloads"].values())
    return int(arguments.strict and (missed or failed))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer", description="Compares the trainer.")
    parser.add_argument("--workloads", nargs="*", choices=workloads.DESIGNS, default=list(workloads.DESIGNS))
    parser.add_argument("--contenders", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--repeats", type=int, default=plan.DEFAULT_REPEATS, help="runs of each at most (see plan.py)")
    parser.add_argument("--population", action=argparse.BooleanOptionalAction, default=True, help="population as well")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a goal is missed")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/benchmarks/trainer.json"))
    return parser.parse_args()


def _check_goals(measured: dict[str, Any]) -> list[dict[str, Any]]:
    checked = []
    for goal in goals.GOALS:
        fields = measured.get(goal.workload, {"contenders": {}, "silos": 1})
        seconds = {name: values["steady_seconds"] for name, values in fields["contenders"].items()}
        value = goal.value(seconds, fields["silos"])
        line = report.goal_line(goal, value)
        _show(line)
        checked.append({"goal": line, "value": value, "met": None if value is None else goal.is_met(value)})
    return checked


def _show(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
