"""Privacy: what the small and the large silos lose by differential privacy, of rows and of silos."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from benchmarks.suite import answers, figures, measures, trainings
from benchmarks.suite.data import manifests
from benchmarks.suite.questions import unequal_data
from tff_runtime.settings import privacy, stopping
from tfx_federated.statistics import bootstrap

NAME = "privacy"
TITLE = "Privacy: what does it cost the small silos and the large ones?"
BASELINE = "no privacy"
# Below 1 / rows of the largest airline, and below 1 / silos, as the trainer asks.
_RECORD_DELTA = 1e-5
_SILO_DELTA = 1e-2
_CLIP_NORM = 3.0
_LEVELS = ("record level", "silo level")


@dataclasses.dataclass(frozen=True)
class _Found:
    """What one epsilon comes to for one seed; gains are over the training without privacy."""

    means: Mapping[str, bootstrap.Estimate]
    gains: Mapping[str, bootstrap.Estimate]
    records: list[answers.Record]


def training(context: answers.Context, model: tuple[str, float], manifest: manifests.Manifest) -> trainings.Training:
    """Returns the training at a level of protection with an epsilon; of `BASELINE`, the one of the other questions."""
    level, epsilon = model
    if level == BASELINE:
        return unequal_data.training(context, unequal_data.BASELINE, manifest)
    choices: dict[str, Any] = {"privacy": privacy.RecordLevel(epsilon, _RECORD_DELTA, _CLIP_NORM)}
    if level == "silo level":
        choices = {
            "privacy": privacy.SiloLevel(epsilon, _SILO_DELTA),
            "silo_weighting": "uniform",
            # Neither a round nor a number may be chosen by the rows of single silos.
            "stopping": stopping.LastRound(),
            "evaluation_split": None,
        }
    return trainings.Training(manifest, context.scale.settings(manifest.seed) | choices)


def answer(context: answers.Context) -> answers.Answer:
    """Answers the question."""
    models = [(BASELINE, np.inf), *((level, epsilon) for level in _LEVELS for epsilon in context.scale.epsilons)]
    for seed in context.scale.seeds:
        context.train.all([training(context, model, context.scale.airlines(seed)) for model in models])
    found = {model: [_measure(context, model, seed) for seed in context.scale.seeds] for model in models}
    sentences = [_sentence(model, seeds) for model, seeds in found.items() if model[0] != BASELINE]
    records = [record for seeds in found.values() for one in seeds for record in one.records]
    return answers.Answer(NAME, TITLE, sentences, _table(found), _figure(found), records)


def _measure(context: answers.Context, model: tuple[str, float], seed: int) -> _Found:
    manifest = context.scale.airlines(seed)
    asked = training(context, model, manifest)
    test = measures.TestRows.of(context.train.population(manifest))
    predicted = context.train(asked).federated
    without = context.train(training(context, (BASELINE, np.inf), manifest)).federated
    values, gains = measures.of_silos(test, predicted), measures.gains(test, predicted, without)
    halves = answers.halves(test, values.claimed)
    means = {half: measures.across_silos(test, values, among, seed)["mean"] for half, among in halves.items()}
    mean_gains = {half: measures.mean_gain(gains, among).mean_gain for half, among in halves.items()}
    source = answers.Source(NAME, asked, _name(model))
    records = [
        *source.of_values(test, values),
        *source.by_silo(test, "gain_in_auc_over_no_privacy", gains.intervals()),
        *(
            source.estimate(
                f"{metric}_of_{half.replace(' ', '_')}", estimates[half], int(test.training_rows[among].sum())
            )
            for metric, estimates in (("mean_auc", means), ("mean_gain_over_no_privacy", mean_gains))
            for half, among in halves.items()
        ),
    ]
    return _Found(means, mean_gains, records)


def _name(model: tuple[str, float]) -> str:
    level, epsilon = model
    return level if level == BASELINE else f"{level}, epsilon {epsilon:g}"


def _table(found: Mapping[tuple[str, float], Sequence[_Found]]) -> pd.DataFrame:
    rows = []
    for model, seeds in found.items():
        row = {"training": _name(model)}
        for half in seeds[0].means:
            row[f"AUC, {half}"] = answers.Number.over_seeds(one.means[half] for one in seeds).text()
        for half in seeds[0].gains:
            gain = answers.Number.over_seeds(one.gains[half] for one in seeds)
            row[f"difference, {half}"] = "-" if model[0] == BASELINE else gain.text(is_difference=True)
        rows.append(row)
    return pd.DataFrame(rows)


def _sentence(model: tuple[str, float], seeds: Sequence[_Found]) -> str:
    parts = []
    for half in seeds[0].gains:
        number = answers.Number.over_seeds(one.gains[half] for one in seeds)
        parts.append(f"the {half} of the silos {number.verdict} ({number.text(is_difference=True)})")
    return f"{_name(model)}, against no privacy: in mean AUC {' and '.join(parts)}."


def _figure(found: Mapping[tuple[str, float], Sequence[_Found]]) -> go.Figure:
    drawn = figures.figure("epsilon (log scale)", "difference in mean AUC to no privacy")
    drawn.update_xaxes(type="log")
    for level in _LEVELS:
        models = sorted(model for model in found if model[0] == level)
        for half in found[models[0]][0].gains:
            numbers = [answers.Number.over_seeds(one.gains[half] for one in found[model]) for model in models]
            value, lower, upper = (
                [getattr(number, part) for number in numbers] for part in ("value", "lower", "upper")
            )
            epsilons = [epsilon for _, epsilon in models]
            figures.add_points(drawn, f"{level}, {half}", epsilons, value, (lower, upper), is_line=True)
    return drawn
