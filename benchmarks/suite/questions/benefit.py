"""Benefit: what a silo gains over a model that it trains alone, and the size from which it does better alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from benchmarks.data import tables
from benchmarks.suite import answers, figures, measures, trainings
from benchmarks.suite.data import manifests
from benchmarks.suite.questions import unequal_data
from tff_runtime.settings import personalizations
from tfx_federated.statistics import bootstrap, paired, shrinkage

NAME = "benefit"
TITLE = "Benefit: what does each way to learn together give to a silo, by its size?"
ALONE = "alone"
_REPLICATES = 2000


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to get a model for each silo.

    Attributes:
        settings: Arguments of `FederatedTrainer` that differ.
        is_own: Whether the silos' own models are judged, and not the common one.
        is_pooled: Whether the rows of all silos are one silo's.
    """

    settings: Mapping[str, Any]
    is_own: bool = False
    is_pooled: bool = False


METHODS: Mapping[str, Method] = {
    ALONE: Method({"local_models": True}, is_own=True),
    "federated": Method(unequal_data.VARIANTS[unequal_data.BASELINE]),
    "pooled (what regulation forbids)": Method({}, is_pooled=True),
    "fine-tuned": Method({"personalization": personalizations.FineTuning()}, is_own=True),
    "Ditto 1": Method({"personalization": personalizations.Ditto(strength=1.0)}, is_own=True),
    "local last layer": Method({"personalization": personalizations.LocalLayers(layers=("probability",))}, is_own=True),
}
# The methods whose gain over a silo alone is asked for a size at which it ends.
_CROSSING = ("federated", "fine-tuned", "Ditto 1", "local last layer")


@dataclasses.dataclass(frozen=True)
class _Found:
    """What one method comes to for one seed; gains are over a silo alone."""

    values: Mapping[str, bootstrap.Estimate]
    mean_gains: Mapping[str, bootstrap.Estimate]
    gains: paired.Gains
    test: measures.TestRows
    records: list[answers.Record]


def training(context: answers.Context, method: str, manifest: manifests.Manifest) -> trainings.Training:
    """Returns the training of a method."""
    asked = METHODS[method]
    settings = context.scale.settings(manifest.seed) | dict(asked.settings)
    return trainings.Training(manifest, settings, is_pooled=asked.is_pooled)


def predictions(context: answers.Context, method: str, manifest: manifests.Manifest) -> tables.Matrix:
    """Returns a method's predictions for all test rows, NaN where a silo has no model of its own, [rows]."""
    trained = context.train(training(context, method, manifest))
    if not METHODS[method].is_own:
        return trained.federated
    assert trained.own is not None
    return trained.own


def answer(context: answers.Context) -> answers.Answer:
    """Answers the question."""
    for seed in context.scale.seeds:
        context.train.all([training(context, method, context.scale.airlines(seed)) for method in METHODS])
    found = {method: [_measure(context, method, seed) for seed in context.scale.seeds] for method in METHODS}
    sentences = [_sentence(method, each) for method, each in found.items() if method != ALONE]
    records = [record for each in found.values() for one in each for record in one.records]
    for method in _CROSSING:
        crossings = [crossing(one.gains, one.test.training_rows, seed) for seed, one in enumerate(found[method])]
        sentences += [_crossing_sentence(method, one, number) for number, one in enumerate(crossings)]
        records += [
            answers.Source(NAME, training(context, method, context.scale.airlines(seed)), method).record(
                "crossover_rows", one.rows, lower=one.lower, upper=one.upper
            )
            for seed, one in zip(context.scale.seeds, crossings, strict=True)
        ]
    return answers.Answer(NAME, TITLE, sentences, _table(found), _figure(found), records)


def _measure(context: answers.Context, method: str, seed: int) -> _Found:
    manifest = context.scale.airlines(seed)
    test = measures.TestRows.of(context.train.population(manifest))
    predicted = predictions(context, method, manifest)
    values = measures.of_silos(test, predicted)
    gains = measures.gains(test, predicted, predictions(context, ALONE, manifest))
    halves = answers.halves(test, values.claimed)
    means = {half: measures.across_silos(test, values, among, seed)["mean"] for half, among in halves.items()}
    mean_gains = {half: measures.mean_gain(gains, among).mean_gain for half, among in halves.items()}
    source = answers.Source(NAME, training(context, method, manifest), method)
    rows = {half: int(test.training_rows[among].sum()) for half, among in halves.items()}
    records = [
        *source.of_values(test, values),
        *source.by_silo(test, "gain_in_auc_over_alone", gains.intervals()),
        *(source.estimate(f"mean_auc_of_{half.replace(' ', '_')}", one, rows[half]) for half, one in means.items()),
        *(
            source.estimate(f"mean_gain_of_{half.replace(' ', '_')}_over_alone", one, rows[half])
            for half, one in mean_gains.items()
        ),
    ]
    return _Found(means, mean_gains, gains, test, records)


@dataclasses.dataclass(frozen=True)
class Crossing:
    """The size at which a gain ends.

    Attributes:
        rows: Training rows at which the line is 0; NaN if the gain does not fall with size, or the line is not 0 within
            the sizes seen.
        lower: Lower bound; NaN without a crossing in at least 95 % of the replicates.
        upper: Upper bound; the same.
        share: Share of the replicates in which there is a crossing within the sizes seen.
    """

    rows: float
    lower: float
    upper: float
    share: float


def crossing(gains: paired.Gains, training_rows: npt.NDArray[np.int64], seed: int = 0) -> Crossing:
    """Finds where a line through gains against the logarithm of the rows falls to 0.

    The line is that of weighted least squares, by the gains' variances and their variance between silos. Silos are
    resampled for the bounds: the bootstrap of cases (Davison and Hinkley, Bootstrap Methods and their Application,
    1997, section 6.2.4) and its percentiles.

    Args:
        gains: Over a silo alone; those that are NaN are left out.
        training_rows: Rows of each silo, [silos].
        seed: Of the bootstrap.
    """
    kept = np.isfinite(gains.gain) & (gains.standard_error > 0)
    x, y, error = np.log(training_rows[kept]), gains.gain[kept], gains.standard_error[kept]
    if len(x) < 3:
        return Crossing(math.nan, math.nan, math.nan, 0.0)
    weights = 1 / (error**2 + shrinkage.paule_mandel(y, error))
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(x), size=(_REPLICATES, len(x)))
    zeros = _zeros(x[chosen], y[chosen], weights[chosen], x.min(), x.max())
    seen = zeros[np.isfinite(zeros)]
    share = len(seen) / _REPLICATES
    low, high = np.exp(np.quantile(seen, [0.025, 0.975])) if share >= 0.95 else (math.nan, math.nan)
    zero = float(_zeros(x[np.newaxis], y[np.newaxis], weights[np.newaxis], x.min(), x.max())[0])
    return Crossing(math.exp(zero), float(low), float(high), share)


def _zeros(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], low: float, high: float
) -> npt.NDArray[np.float64]:
    """Returns where each line that falls is 0, NaN outside of [low, high], [lines]; arguments are [lines, points]."""
    total = weights.sum(-1)
    centre, level = (weights * x).sum(-1) / total, (weights * y).sum(-1) / total
    away = x - centre[:, np.newaxis]
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (weights * away * y).sum(-1) / (weights * away**2).sum(-1)
        zero = centre - level / slope
    return np.where((slope < 0) & (zero >= low) & (zero <= high), zero, np.nan)


def _table(found: Mapping[str, Sequence[_Found]]) -> pd.DataFrame:
    rows = []
    for method, seeds in found.items():
        row: dict[str, Any] = {"method": method}
        for half in seeds[0].values:
            row[f"AUC, {half}"] = answers.Number.over_seeds(one.values[half] for one in seeds).text()
        for half in seeds[0].values:
            gain = answers.Number.over_seeds(one.mean_gains[half] for one in seeds)
            row[f"gain over alone, {half}"] = "-" if method == ALONE else gain.text(is_difference=True)
        rows.append(row)
    return pd.DataFrame(rows)


def _sentence(method: str, seeds: Sequence[_Found]) -> str:
    parts = []
    for half in seeds[0].mean_gains:
        number = answers.Number.over_seeds(one.mean_gains[half] for one in seeds)
        parts.append(f"the {half} of the silos {number.verdict} ({number.text(is_difference=True)})")
    return f"{method} against alone: in mean AUC {' and '.join(parts)}."


def _crossing_sentence(method: str, found: Crossing, seed: int) -> str:
    if not math.isfinite(found.rows):
        return f"{method}, seed {seed}: the sizes seen show no size from which a silo does better alone."
    if not math.isfinite(found.lower):
        return (
            f"{method}, seed {seed}: the line through the gains is 0 at {found.rows:,.0f} training rows, but crosses "
            f"in {found.share:.0%} of the resamples only; no size can be claimed."
        )
    return (
        f"{method}, seed {seed}: from {found.rows:,.0f} training rows [{found.lower:,.0f}, {found.upper:,.0f}] on, "
        "a silo does better alone."
    )


def _figure(found: Mapping[str, Sequence[_Found]]) -> go.Figure:
    drawn = figures.figure("training rows of the silo (log scale)", "gain in AUC over a model trained alone")
    drawn.update_xaxes(type="log")
    for method, seeds in found.items():
        if method != ALONE:
            bounds = seeds[0].gains.intervals()
            shown = (bounds.lower, bounds.upper) if method == "federated" else None
            test = seeds[0].test
            figures.add_points(drawn, method, test.training_rows, seeds[0].gains.gain, shown, test.silos)
    return drawn
