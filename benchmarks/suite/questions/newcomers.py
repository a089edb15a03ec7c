"""Newcomers: silos that were not in training, with no rows of their own, and with few rows to adapt with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from benchmarks.data import tables
from benchmarks.suite import answers, figures, measures, trainings
from benchmarks.suite.questions import benefit
from tff_runtime.settings import personalizations
from tfx_federated.statistics import bootstrap, intervals, paired

NAME = "newcomers"
TITLE = "Newcomers: what does a model of the others give to a silo that was not in training?"
# Airlines with more than 1,000 training rows at either scale, neither the largest nor the smallest.
NEWCOMERS = ("9E", "AA", "MQ", "US")
NOT_TRAINED = "model of the others"
TRAINED = "model with the newcomer in training"


@dataclasses.dataclass(frozen=True)
class _Found:
    """What one model comes to for one seed, over the newcomers; the gain is over the model of the others."""

    mean: bootstrap.Estimate
    mean_gain: bootstrap.Estimate
    values: intervals.Intervals
    gains: paired.Gains
    test: measures.TestRows
    records: list[answers.Record]


def answer(context: answers.Context) -> answers.Answer:
    """Answers the question."""
    found: dict[str, list[_Found]] = {}
    for seed in context.scale.seeds:
        asked = _trainings(context, seed)
        context.train.all([training for training, _ in asked.values()])
        predicted = {model: _predictions(context, *asked[model]) for model in asked}
        for model, (training, _) in asked.items():
            source = answers.Source(NAME, training, model)
            measured = _measure(context, source, predicted[model], predicted[NOT_TRAINED])
            found.setdefault(model, []).append(measured)
    sentences = [_sentence(model, seeds) for model, seeds in found.items() if model != NOT_TRAINED]
    records = [record for seeds in found.values() for one in seeds for record in one.records]
    return answers.Answer(NAME, TITLE, sentences, _table(found), _figure(found), records)


def _trainings(context: answers.Context, seed: int) -> dict[str, tuple[trainings.Training, bool]]:
    """Returns the training of each model, and whether the silos' own models of it are judged."""
    manifest, settings = context.scale.airlines(seed), context.scale.settings(seed)
    others = trainings.Training(manifest, settings, without=NEWCOMERS)
    asked = {NOT_TRAINED: (others, False)}
    for rows in context.scale.newcomer_rows:
        alone = trainings.Training(manifest, settings | {"local_models": True}, only=NEWCOMERS, most_rows=rows)
        tuning = settings | {"rounds": 0, "personalization": personalizations.FineTuning(context.scale.rounds)}
        adapted = dataclasses.replace(alone, settings=tuning, base=others)
        asked[f"adapted with {rows:,} rows"] = (adapted, True)
        asked[f"alone with {rows:,} rows"] = (alone, True)
    asked[TRAINED] = (benefit.training(context, "federated", manifest), False)
    return asked


def _predictions(context: answers.Context, training: trainings.Training, is_own: bool) -> tables.Matrix:
    trained = context.train(training)
    predicted = trained.own if is_own else trained.federated
    assert predicted is not None
    return predicted


def _measure(
    context: answers.Context, source: answers.Source, predicted: tables.Matrix, baseline: tables.Matrix
) -> _Found:
    manifest = source.training.manifest
    test = measures.TestRows.of(context.train.population(manifest))
    among = test.of_silos(NEWCOMERS)
    # Own models are only those of the newcomers; the common ones are compared on the same silos.
    predicted = np.where(among[test.silo], predicted, np.float32(np.nan))
    values = measures.of_silos(test, predicted)
    gains = measures.gains(test, predicted, baseline)
    mean = measures.across_silos(test, values, among, manifest.seed)["mean"]
    mean_gain = measures.mean_gain(gains, among).mean_gain
    rows = int(test.training_rows[among].sum())
    records = [
        *source.of_values(test, values),
        *source.by_silo(test, "gain_in_auc_over_model_of_the_others", gains.intervals()),
        source.estimate("mean_auc_of_newcomers", mean, rows),
        source.estimate("mean_gain_of_newcomers_over_model_of_the_others", mean_gain, rows),
    ]
    return _Found(mean, mean_gain, values.intervals, gains, test, records)


def _table(found: Mapping[str, Sequence[_Found]]) -> pd.DataFrame:
    rows = []
    for model, seeds in found.items():
        gain = answers.Number.over_seeds(one.mean_gain for one in seeds)
        row: dict[str, Any] = {
            "model": model,
            "mean AUC of the newcomers": answers.Number.over_seeds(one.mean for one in seeds).text(),
            "gain over the model of the others": "-" if model == NOT_TRAINED else gain.text(is_difference=True),
        }
        for name in NEWCOMERS:
            place = list(seeds[0].test.silos).index(name)
            row[name] = f"{np.mean([one.values.estimate[place] for one in seeds]):.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def _sentence(model: str, seeds: Sequence[_Found]) -> str:
    number = answers.Number.over_seeds(one.mean_gain for one in seeds)
    return (
        f"{model} against the {NOT_TRAINED}: in mean AUC a newcomer {number.verdict} "
        f"({number.text(is_difference=True)})."
    )


def _figure(found: Mapping[str, Sequence[_Found]]) -> go.Figure:
    drawn = figures.figure("", "AUC", margin={"l": 64, "r": 24, "t": 24, "b": 120})
    models = list(found)
    for name in NEWCOMERS:
        place = list(found[NOT_TRAINED][0].test.silos).index(name)
        parts = ("estimate", "lower", "upper")
        value, lower, upper = ([getattr(found[model][0].values, part)[place] for model in models] for part in parts)
        figures.add_points(drawn, name, models, value, (lower, upper))
    return drawn
