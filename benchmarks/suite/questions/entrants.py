"""Entrants: other systems on the same silos, each in a process of its own, judged by the same test rows."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from benchmarks.data import tables
from benchmarks.suite import answers, figures, measures, scales, trainings
from benchmarks.suite.data import populations
from benchmarks.suite.entrants import contract
from benchmarks.trainer import process_tree
from tfx_federated import tff_process
from tfx_federated.statistics import bootstrap, intervals

NAME = "entrants"
TITLE = "Entrants: how do other systems do on the same silos?"
OURS = "tfx_federated_trainer"
_TIME_LIMIT = 3600.0


class EntrantError(RuntimeError):
    """An entrant did not end well."""


@dataclasses.dataclass(frozen=True)
class _Found:
    """What one entrant comes to for one seed; the gain is over ours."""

    statistics: Mapping[str, bootstrap.Estimate]
    values: intervals.Intervals
    gain: bootstrap.Estimate
    measurement: process_tree.Measurement
    test: measures.TestRows
    records: list[answers.Record]


def interpreters() -> dict[str, str]:
    """Returns the interpreter of each entrant, a module of `benchmarks.suite.entrants`. Ours is the first."""
    flower = trainings.REPOSITORY / ".environments/benchmark-flower/bin/python"
    return {OURS: sys.executable, "plain_tff": tff_process.find_tff_python(), "flower_fedavg": str(flower)}


def run(name: str, python: str, task: contract.Task, manifest: str) -> tuple[tables.Matrix, process_tree.Measurement]:
    """Runs an entrant.

    Args:
        name: Its module.
        python: Its interpreter.
        task: The task.
        manifest: JSON text of the population's manifest.

    Returns:
        The predictions of all test rows, and what the process and all its children took.

    Raises:
        EntrantError: The process failed, or took too long.
        ValueError: The predictions are not as the contract has them.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        contract.write(task, manifest, folder / "task")
        command = [python, "-m", f"benchmarks.suite.entrants.{name}", str(folder / "task"), str(folder / "out.npy")]
        path = os.pathsep.join([str(trainings.REPOSITORY / "components"), str(trainings.REPOSITORY)])
        measured = process_tree.measure(command, os.environ | {"PYTHONPATH": path}, _TIME_LIMIT, folder / "log")
        if measured.exit_code != 0:
            end = (folder / "log").read_text("utf-8", "replace")[-2000:]
            raise EntrantError(f"entrant {name} ended with {measured.exit_code}; the end of what it printed: {end}")
        return contract.checked(np.load(folder / "out.npy"), len(task.test_silo)), measured


def task_of(population: populations.Population, scale: scales.Scale) -> contract.Task:
    """Returns the task of a population; test labels are not in it."""
    sizes = [len(silo.labels) for silo in population.training]
    tested = [len(silo.labels) for silo in population.test]
    return contract.Task(
        names=[silo.name for silo in population.training],
        features=np.concatenate([silo.features for silo in population.training]),
        labels=np.concatenate([silo.labels for silo in population.training]),
        silo=np.repeat(np.arange(len(sizes)), sizes),
        test_features=np.concatenate([silo.features for silo in population.test]),
        test_silo=np.repeat(np.arange(len(tested)), tested),
        settings={
            "rounds": scale.entrant_rounds,
            "batch_size": 32,
            "learning_rate": scales.LEARNING_RATE,
            "hidden_units": 32,
            "seed": population.manifest.seed,
        },
    )


def answer(context: answers.Context) -> answers.Answer:
    """Answers the question."""
    found: dict[str, list[_Found]] = {}
    for seed in context.scale.seeds:
        manifest = context.scale.airlines(seed)
        population = context.train.population(manifest)
        task = task_of(population, context.scale)
        ours = None
        for name, python in interpreters().items():
            predicted, measured = run(name, python, task, population.manifest.to_json())
            ours = predicted if ours is None else ours
            training = trainings.Training(manifest, dict(task.settings))
            found.setdefault(name, []).append(
                _measure(answers.Source(NAME, training, name), population, predicted, ours, measured)
            )
    sentences = [_sentence(name, seeds) for name, seeds in found.items() if name != OURS]
    records = [record for seeds in found.values() for one in seeds for record in one.records]
    return answers.Answer(NAME, TITLE, sentences, _table(found), _figure(found), records)


def _measure(
    source: answers.Source,
    population: populations.Population,
    predicted: tables.Matrix,
    ours: tables.Matrix,
    measured: process_tree.Measurement,
) -> _Found:
    test = measures.TestRows.of(population)
    values = measures.of_silos(test, predicted)
    statistics = measures.across_silos(test, values, seed=population.manifest.seed)
    gains = measures.gains(test, predicted, ours)
    gain = measures.mean_gain(gains).mean_gain
    rows = int(test.training_rows.sum())
    records = [
        *source.of_values(test, values),
        *source.by_silo(test, "gain_in_auc_over_ours", gains.intervals()),
        *(source.estimate(name, estimate, rows) for name, estimate in statistics.items()),
        source.estimate("mean_gain_over_ours", gain, rows),
        source.record("wall_seconds", measured.wall_seconds, rows=rows),
        source.record("cpu_seconds", measured.cpu_seconds, rows=rows),
        source.record("peak_mebibytes", measured.peak_mebibytes, rows=rows),
    ]
    return _Found(statistics, values.intervals, gain, measured, test, records)


def _table(found: Mapping[str, Sequence[_Found]]) -> pd.DataFrame:
    rows = []
    for name, seeds in found.items():
        gain = answers.Number.over_seeds(one.gain for one in seeds)
        rows.append(
            {
                "entrant": name,
                "mean AUC of silos": answers.Number.over_seeds(one.statistics["mean"] for one in seeds).text(),
                "worst 10 %": answers.Number.over_seeds(one.statistics["worst_decile"] for one in seeds).text(),
                "gain over ours": "-" if name == OURS else gain.text(is_difference=True),
                "wall seconds": f"{np.mean([one.measurement.wall_seconds for one in seeds]):.0f}",
                "CPU seconds": f"{np.mean([one.measurement.cpu_seconds for one in seeds]):.0f}",
                "peak MiB": f"{np.mean([one.measurement.peak_mebibytes for one in seeds]):,.0f}",
            }
        )
    return pd.DataFrame(rows)


def _sentence(name: str, seeds: Sequence[_Found]) -> str:
    gain = answers.Number.over_seeds(one.gain for one in seeds)
    wall = np.mean([one.measurement.wall_seconds for one in seeds])
    return f"{name} against ours: in mean AUC a silo {gain.verdict} ({gain.text(is_difference=True)}), in {wall:.0f} s."


def _figure(found: Mapping[str, Sequence[_Found]]) -> go.Figure:
    drawn = figures.figure("training rows of the silo (log scale)", "AUC")
    drawn.update_xaxes(type="log")
    for name, seeds in found.items():
        first = seeds[0]
        bounds = (first.values.lower, first.values.upper) if name == OURS else None
        figures.add_points(drawn, name, first.test.training_rows, first.values.estimate, bounds, first.test.silos)
    return drawn
