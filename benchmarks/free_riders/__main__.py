"""Plants known behaviour in real data and measures what is found of it: `make benchmark-free-riders`."""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.free_riders import behaviours, contribution, detection, populations
from benchmarks.trainer import machine
from tfx_federated.contribution_evaluator import methods

REPOSITORY = pathlib.Path(__file__).parents[2]
CONTENDERS = ("ours", "norm_threshold", "cosine_threshold", "robust_distance")
LEAST_AUC = 0.95
LEAST_SPEARMAN, LARGEST_COST_SHARE, LONGEST_SECONDS = 0.9, 0.02, 60
# Federations on which contributions are compared with exact ones: each takes a minute or more.
FEDERATIONS = 5
LARGE = (
    (100, 50, methods.LocalModelsShapley()),
    (100, 50, methods.GtgShapley()),
    (1_000, 50, methods.GradientCosine()),
)


def main() -> int:
    """Reads the command line, runs the benchmark and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.free_riders")
    parser.add_argument("--data", choices=populations.TABLES, default="flights")
    parser.add_argument("--seeds", type=int, default=20, help="number of federations for each behaviour")
    # The detectors were made with other seeds in sight.
    parser.add_argument("--first-seed", type=int, default=60)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/benchmarks/free_riders.json"))
    arguments = parser.parse_args()
    table = populations.TABLES[arguments.data]()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    honest = [detection.run(table, behaviours.honest, seed) for seed in seeds]
    planted = {}
    print(f"{'AUC':36} " + " ".join(f"{name:>16}" for name in CONTENDERS) + "   precision  recall (ours)")
    for name, behaviour in behaviours.BEHAVIOURS.items():
        planted[name] = [detection.run(table, behaviour, seed) for seed in seeds]
        _show(name, _qualities(name, planted[name]))
    shapley = contribution.summary(
        [contribution.compare(table, seed) for seed in list(seeds)[:FEDERATIONS]],
        [contribution.seconds_of(table, silos, rounds, method) for silos, rounds, method in LARGE],
    )
    results = {
        "machine": machine.description(REPOSITORY),
        "data": arguments.data,
        "seeds": list(seeds),
        **_summary(honest, planted),
        "shapley": shapley,
    }
    results["goals"] += _goals_of_contribution(shapley)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=1), "utf-8")
    _show_false_positives(results["false_positives_by_contender"])
    _show_contribution(shapley)
    print(f"Written to {arguments.output}.")
    return 0


def _qualities(behaviour: str, trials: Sequence[detection.Trial]) -> dict[str, dict[str, float]]:
    """Returns the quality of each contender; ours for silos with too few rows is the finding that says just that."""
    own = "too_few_rows" if behaviour == "too_few_rows" else "ours"
    return {name: detection.quality(trials, own if name == "ours" else name) for name in CONTENDERS}


def _summary(honest: Sequence[detection.Trial], planted: Mapping[str, Sequence[detection.Trial]]) -> dict[str, Any]:
    qualities = {name: _qualities(name, trials) for name, trials in planted.items()}
    among_planted = [trial for trials in planted.values() for trial in trials]
    accused = {name: detection.false_positives(honest, name) for name in CONTENDERS}
    return {
        "detection_auc": {name: values["ours"]["auc"] for name, values in qualities.items()},
        "false_positive_rate": {size: found["rate"] for size, found in accused["ours"].items()},
        "too_few_rows_accused": detection.quality(planted["too_few_rows"], "ours")["recall"],
        "detection": {
            behaviour: {name: _finite(values) for name, values in contenders.items()}
            for behaviour, contenders in qualities.items()
        },
        "false_positives_by_contender": accused,
        "false_positives_beside_planted": {name: detection.false_positives(among_planted, name) for name in CONTENDERS},
        "goals": [
            {
                "goal": f"AUC of {name}, at least {LEAST_AUC}",
                "value": values["ours"]["auc"],
                "met": values["ours"]["auc"] >= LEAST_AUC,
            }
            for name, values in qualities.items()
            if name != "too_few_rows"
        ],
    }


def _goals_of_contribution(shapley: Mapping[str, Any]) -> list[dict[str, Any]]:
    spearman, share = shapley["spearman"], shapley["cost_share"]
    goals = [
        (f"Spearman's correlation with exact values, at least {LEAST_SPEARMAN}", spearman, spearman >= LEAST_SPEARMAN),
        (f"share of the time of exact values, at most {LARGEST_COST_SHARE}", share, share <= LARGEST_COST_SHARE),
    ]
    goals += [
        (
            f"{run['silos']} silos and {run['rounds']} rounds by {run['method']}, below {LONGEST_SECONDS} s",
            run["seconds"],
            run["seconds"] < LONGEST_SECONDS,
        )
        for run in shapley["large"]
    ]
    return [{"goal": goal, "value": value, "met": met} for goal, value, met in goals]


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _show(behaviour: str, qualities: Mapping[str, Mapping[str, float]]) -> None:
    ours = qualities["ours"]
    curves = " ".join(f"{qualities[name]['auc']:16.3f}" for name in CONTENDERS)
    print(f"{behaviour:36} {curves}   {ours['precision']:9.2f} {ours['recall']:7.2f}", flush=True)


def _show_false_positives(accused: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    print(f"\n{'honest silos accused':36} " + " ".join(f"{name:>16}" for name in CONTENDERS))
    for size in detection.SIZE_CLASSES:
        rates = " ".join(f"{_number(accused[name][size]['rate']):>16}" for name in CONTENDERS)
        print(f"{size + ' (' + str(accused['ours'][size]['silos']) + ')':36} {rates}")


def _show_contribution(shapley: Mapping[str, Any]) -> None:
    print(f"\nexact Shapley values of {shapley['silos']} silos by retraining: {shapley['exact_seconds']:.1f} s")
    print(f"{'':20} {'Spearman':>10} {'least':>10} {'seconds':>10} {'share':>10}")
    for name, found in shapley["by_method"].items():
        print(
            f"{name:20} {found['spearman']:10.3f} {found['least_spearman']:10.3f} {found['seconds']:10.2f} "
            f"{found['cost_share']:10.4f}"
        )
    for run in shapley["large"]:
        print(f"{run['silos']} silos, {run['rounds']} rounds, {run['method']}: {run['seconds']:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
