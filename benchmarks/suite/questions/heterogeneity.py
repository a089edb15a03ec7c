"""Heterogeneity: which difference between silos makes a common model worse than one alone; what Ditto does for it.

Each family differs from the first in one respect only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from benchmarks.suite import answers, figures, measures
from benchmarks.suite.data import manifests
from benchmarks.suite.questions import benefit
from tfx_federated.statistics import bootstrap, paired

NAME = "heterogeneity"
TITLE = "Heterogeneity: by which difference between silos is a common model worse than one alone?"
_ALIKE = manifests.Family(silos=16, rows=8000, least_rows=50)
FAMILIES: Mapping[str, manifests.Family] = {
    "alike": _ALIKE,
    "size skew": dataclasses.replace(_ALIKE, size_skew=1.0),
    "feature skew": dataclasses.replace(_ALIKE, feature_skew=0.3),
    "label skew": dataclasses.replace(_ALIKE, label_skew=1.0),
    "concept shift": dataclasses.replace(_ALIKE, shifted_share=0.25),
}
DITTO, FEDERATED = "Ditto 1", "federated"
# Each model, and what it is compared with.
COMPARED = {FEDERATED: benefit.ALONE, DITTO: FEDERATED}


@dataclasses.dataclass(frozen=True)
class _Found:
    """What one family comes to for one seed.

    Attributes:
        means: Mean AUC of the silos by model.
        worst: AUC of the worst decile of the silos by model.
        gains: Mean gain of each model of `COMPARED` over what it is compared with.
        of_silos: Gain of each silo, likewise.
        helped: How many silos gain significantly, likewise.
        hurt: How many lose significantly, likewise.
        records: All numbers.
    """

    means: Mapping[str, bootstrap.Estimate]
    worst: Mapping[str, bootstrap.Estimate]
    gains: Mapping[str, bootstrap.Estimate]
    of_silos: Mapping[str, paired.Gains]
    helped: Mapping[str, int]
    hurt: Mapping[str, int]
    records: list[answers.Record]


def manifest(family: manifests.Family, seed: int) -> manifests.Manifest:
    """Returns the population of a family; each silo has as many test rows as a claim needs."""
    return manifests.Manifest("flights", family=family, evaluation_share=1e-9, least_evaluation_rows=400, seed=seed)


def answer(context: answers.Context) -> answers.Answer:
    """Answers the question."""
    asked = {name: [manifest(FAMILIES[name], seed) for seed in context.scale.seeds] for name in context.scale.families}
    each = [one for seeds in asked.values() for one in seeds]
    context.train.all([benefit.training(context, method, one) for one in each for method in (benefit.ALONE, DITTO)])
    found = {name: [_measure(context, name, one) for one in seeds] for name, seeds in asked.items()}
    sentences = [_sentence(name, model, seeds) for name, seeds in found.items() for model in COMPARED]
    records = [record for seeds in found.values() for one in seeds for record in one.records]
    return answers.Answer(NAME, TITLE, sentences, _table(found), _figure(found), records)


def _measure(context: answers.Context, family: str, asked: manifests.Manifest) -> _Found:
    test = measures.TestRows.of(context.train.population(asked))
    trained_alone = benefit.training(context, benefit.ALONE, asked)
    # Silos that also train alone change nothing in the model that they train together.
    used = {
        benefit.ALONE: trained_alone,
        FEDERATED: trained_alone,
        DITTO: benefit.training(context, DITTO, asked),
    }
    predicted = {
        benefit.ALONE: benefit.predictions(context, benefit.ALONE, asked),
        FEDERATED: context.train(trained_alone).federated,
        DITTO: benefit.predictions(context, DITTO, asked),
    }
    rows = int(test.training_rows.sum())
    means, worst, of_silos, benefits, records = {}, {}, {}, {}, []
    for model, training in used.items():
        source = answers.Source(NAME, training, f"{model}, {family}")
        values = measures.of_silos(test, predicted[model])
        statistics = measures.across_silos(test, values, seed=asked.seed)
        means[model], worst[model] = statistics["mean"], statistics["worst_decile"]
        records += source.of_values(test, values)
        records += [source.estimate(name, estimate, rows) for name, estimate in statistics.items()]
        if model in COMPARED:
            gains = of_silos[model] = measures.gains(test, predicted[model], predicted[COMPARED[model]])
            benefits[model] = measures.mean_gain(gains)
            records += source.by_silo(test, f"gain_in_auc_over_{COMPARED[model]}", gains.intervals())
            records.append(source.estimate(f"mean_gain_over_{COMPARED[model]}", benefits[model].mean_gain, rows))
    return _Found(
        means,
        worst,
        {model: found.mean_gain for model, found in benefits.items()},
        of_silos,
        {model: int(found.significantly_helped.sum()) for model, found in benefits.items()},
        {model: int(found.significantly_hurt.sum()) for model, found in benefits.items()},
        records,
    )


def _table(found: Mapping[str, Sequence[_Found]]) -> pd.DataFrame:
    rows = []
    for name, seeds in found.items():
        row: dict[str, Any] = {"silos": name}
        for model in seeds[0].means:
            row[f"mean AUC, {model}"] = answers.Number.over_seeds(one.means[model] for one in seeds).text()
        for model in seeds[0].worst:
            row[f"worst 10 %, {model}"] = answers.Number.over_seeds(one.worst[model] for one in seeds).text()
        for model, other in COMPARED.items():
            gain = answers.Number.over_seeds(one.gains[model] for one in seeds)
            row[f"gain, {model} over {other}"] = gain.text(is_difference=True)
            helped, hurt = (np.mean([getattr(one, part)[model] for one in seeds]) for part in ("helped", "hurt"))
            row[f"silos helped / hurt, {model} over {other}"] = f"{helped:.3g} / {hurt:.3g}"
        rows.append(row)
    return pd.DataFrame(rows)


def _sentence(name: str, model: str, seeds: Sequence[_Found]) -> str:
    gain = answers.Number.over_seeds(one.gains[model] for one in seeds)
    compared = f"{model} over {COMPARED[model]}"
    return f"{name}, {compared}: in mean AUC a silo {gain.verdict} ({gain.text(is_difference=True)})."


def _figure(found: Mapping[str, Sequence[_Found]]) -> go.Figure:
    drawn = figures.figure("", "gain in AUC of a silo, first seed")
    for model, other in COMPARED.items():
        of_families = [seeds[0].of_silos[model].gain for seeds in found.values()]
        names = np.repeat(list(found), [len(gains) for gains in of_families])
        figures.add_points(drawn, f"{model} over {other}", names, np.concatenate(of_families))
    return drawn
