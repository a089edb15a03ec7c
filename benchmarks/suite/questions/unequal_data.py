"""Unequal data: what each weighting and each fair objective does to the small silos and to the large ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from benchmarks.suite import answers, figures, measures, trainings
from benchmarks.suite.data import manifests
from tff_runtime.settings import algorithms
from tfx_federated.statistics import bootstrap

NAME = "unequal_data"
TITLE = "Unequal data: who is helped by a weighting or a fair objective, and who pays?"
BASELINE = "weights by rows"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    BASELINE: {},
    "weights by square root": {"silo_weighting": "square_root"},
    "equal weights": {"silo_weighting": "uniform"},
    "at most a tenth": {"maximum_silo_share": 0.1},
    "q-FedAvg 1": {"algorithm": algorithms.QFedAvg(q=1.0)},
    "agnostic 0.1": {"algorithm": algorithms.AgnosticFederated(mixture_learning_rate=0.1)},
    "tilted 5": {"algorithm": algorithms.TiltedFederated(tilt=5.0)},
}
_COLUMNS = {
    "mean": "mean of silos",
    "worst_silo": "worst silo",
    "worst_decile": "worst 10 %",
    "largest_gap": "best less worst",
    "standard_deviation": "standard deviation",
    "gini_of_error": "Gini of 1 - AUC",
    "jain_of_error": "Jain of 1 - AUC",
}


@dataclasses.dataclass(frozen=True)
class _Found:
    """What one variant comes to for one seed."""

    statistics: Mapping[str, bootstrap.Estimate]
    overall: float
    gains: Mapping[str, bootstrap.Estimate]
    helped: int
    hurt: int
    records: list[answers.Record]


def training(context: answers.Context, variant: str, manifest: manifests.Manifest) -> trainings.Training:
    """Returns the training of a variant."""
    return trainings.Training(manifest, context.scale.settings(manifest.seed) | dict(VARIANTS[variant]))


def answer(context: answers.Context) -> answers.Answer:
    """Answers the question."""
    tables, sentences, records, drawn = [], [], [], None
    for split in context.scale.splits:
        for seed in context.scale.seeds:
            manifest = context.scale.airlines(seed, split)
            context.train.all([training(context, variant, manifest) for variant in VARIANTS])
        found = {
            variant: [_measure(context, variant, seed, split) for seed in context.scale.seeds] for variant in VARIANTS
        }
        tables.append(_table(found).assign(split=split))
        sentences += [_sentence(variant, each, split) for variant, each in found.items() if variant != BASELINE]
        records += [record for each in found.values() for one in each for record in one.records]
        drawn = drawn or _figure(context, split)
    assert drawn is not None
    return answers.Answer(NAME, TITLE, sentences, pd.concat(tables, ignore_index=True), drawn, records)


def _measure(context: answers.Context, variant: str, seed: int, split: str) -> _Found:
    manifest = context.scale.airlines(seed, split)
    asked = training(context, variant, manifest)
    test = measures.TestRows.of(context.train.population(manifest))
    trained, base = context.train(asked), context.train(training(context, BASELINE, manifest))
    values = measures.of_silos(test, trained.federated)
    statistics = measures.across_silos(test, values, seed=seed)
    gains = measures.gains(test, trained.federated, base.federated)
    benefit = measures.mean_gain(gains)
    halves = {
        half: measures.mean_gain(gains, among).mean_gain for half, among in answers.halves(test, values.claimed).items()
    }
    source = answers.Source(NAME, asked, f"{variant}, {split}")
    rows = int(test.training_rows.sum())
    records = [
        *source.of_values(test, values),
        *source.by_silo(test, "gain_in_auc_over_weights_by_rows", gains.intervals()),
        *(source.estimate(name, estimate, rows) for name, estimate in statistics.items()),
        *(
            source.estimate(f"mean_gain_of_{half.replace(' ', '_')}", estimate, rows)
            for half, estimate in halves.items()
        ),
    ]
    helped, hurt = int(benefit.significantly_helped.sum()), int(benefit.significantly_hurt.sum())
    return _Found(statistics, values.overall, halves, helped, hurt, records)


def _table(found: Mapping[str, list[_Found]]) -> pd.DataFrame:
    rows = []
    for variant, seeds in found.items():
        row: dict[str, Any] = {
            "variant": variant,
            "AUC over all rows": f"{np.mean([one.overall for one in seeds]):.3f}",
        }
        for statistic, column in _COLUMNS.items():
            row[column] = answers.Number.over_seeds(one.statistics[statistic] for one in seeds).text()
        for half in seeds[0].gains:
            number = answers.Number.over_seeds(one.gains[half] for one in seeds)
            row[f"gain of the {half}"] = "-" if variant == BASELINE else number.text(is_difference=True)
        row["silos helped / hurt"] = "-" if variant == BASELINE else _counts(seeds)
        rows.append(row)
    return pd.DataFrame(rows)


def _counts(seeds: list[_Found]) -> str:
    return f"{np.mean([one.helped for one in seeds]):.3g} / {np.mean([one.hurt for one in seeds]):.3g}"


def _sentence(variant: str, seeds: list[_Found], split: str) -> str:
    parts = []
    for half in seeds[0].gains:
        number = answers.Number.over_seeds(one.gains[half] for one in seeds)
        parts.append(f"the {half} of the silos {number.verdict} ({number.text(is_difference=True)})")
    return f"{variant} against {BASELINE}, {split}: in mean AUC {' and '.join(parts)}."


def _figure(context: answers.Context, split: str) -> go.Figure:
    """Draws the AUC of every silo against its size, of the first seed; bounds for the baseline only."""
    drawn = figures.figure("training rows of the silo (log scale)", "AUC")
    drawn.update_xaxes(type="log")
    manifest = context.scale.airlines(context.scale.seeds[0], split)
    test = measures.TestRows.of(context.train.population(manifest))
    for variant in VARIANTS:
        found = measures.of_silos(test, context.train(training(context, variant, manifest)).federated).intervals
        bounds = (found.lower, found.upper) if variant == BASELINE else None
        figures.add_points(drawn, variant, test.training_rows, found.estimate, bounds, test.silos)
    return drawn
