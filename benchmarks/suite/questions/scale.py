"""Scale: what training, evaluation and inference take from ten silos to many, at most a hundred of them in a round."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from benchmarks.suite import answers, applications, figures, trainings
from benchmarks.suite.data import manifests, populations
from tff_runtime.settings import cohorts, stopping

NAME = "scale"
TITLE = "Scale: what do time and memory do as the silos become many?"
COHORT = 100
_ROWS_PER_SILO = 20
_ROUNDS = 10
# Exponents nearer to 0 or to 1 than this are called flat and proportional.
_NEAR = 0.15


def training(context: answers.Context, silos: int, seed: int) -> trainings.Training:
    """Returns the training of a number of silos of twenty rows each on average, their sizes by Zipf's law."""
    family = manifests.Family(silos=silos, rows=_ROWS_PER_SILO * silos, least_rows=5, size_skew=0.5)
    manifest = manifests.Manifest("flights", family=family, evaluation_share=1e-9, seed=seed)
    settings = context.scale.settings(seed) | {
        "rounds": _ROUNDS,
        "cohort": cohorts.UniformSample(min(silos, COHORT)),
        "evaluation_interval": _ROUNDS,
        "checkpoint_interval": _ROUNDS,
        "stopping": stopping.LastRound(),
    }
    return trainings.Training(manifest, settings, is_validated=False)


def answer(context: answers.Context) -> answers.Answer:
    """Answers the question. One training runs at a time: this is about what it takes."""
    rows, records = [], []
    for silos in context.scale.silos:
        seed = context.scale.seeds[0]
        asked = training(context, silos, seed)
        trained = context.train(asked)
        rounds = round_seconds(trained)
        applied = _applied(trained, context.train.population(asked.manifest))
        measured = {
            "median_round_seconds": float(np.median(rounds[1:])),
            "round_mebibytes": round_bytes(trained, min(silos, COHORT)) / 2**20,
            "first_round_seconds": rounds[0],
            "component_seconds": trained.seconds,
            "peak_mebibytes": trained.peak_mebibytes,
            "evaluation_seconds": applied["evaluation"],
            "inference_seconds": applied["inference"],
        }
        source = answers.Source(NAME, asked, f"{silos} silos")
        records += [source.record(metric, value, rows=_ROWS_PER_SILO * silos) for metric, value in measured.items()]
        rows.append({"silos": silos, "silos in a round": min(silos, COHORT), **measured})
    table = pd.DataFrame(rows)
    sentences = [_sentence(table, metric, words) for metric, words in _SHAPES.items()]
    shown = table.rename(columns={name: name.replace("_", " ") for name in table.columns})
    return answers.Answer(NAME, TITLE, sentences, shown.round(3), _figure(table), records)


_SHAPES = {
    "component_seconds": "the time of the whole component",
    "median_round_seconds": "the time of a round",
    "round_mebibytes": "what a round sends to the silos and back, in MiB",
    "peak_mebibytes": "the memory of the TFF process",
    "evaluation_seconds": "the time of an evaluation silo by silo",
    "inference_seconds": "the time of a batch inference",
}


def _applied(trained: trainings.Trained, population: populations.Population) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        model_uri = str(trained.folder / "model")
        return applications.seconds(model_uri, population.training, pathlib.Path(folder) / "applied")


def round_seconds(trained: trainings.Trained) -> list[float]:
    """Returns the seconds of each round, as the FederatedRun has them; the first traces the computations."""
    lines = (trained.folder / "federated_run" / "rounds.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["seconds"] for line in lines]


def round_bytes(trained: trainings.Trained, cohort: int) -> int:
    """Returns the bytes that a round sends: the model to each silo of the cohort, and its update back."""
    with np.load(trained.folder / "federated_run" / "weights.npz") as weights:
        return 2 * cohort * weights["exported"].nbytes


def exponent(silos: npt.ArrayLike, values: npt.ArrayLike) -> float:
    """Returns b of the power law a * silos ** b through the values, by least squares of the logarithms.

    Args:
        silos: Numbers of silos, at least two different ones, [points].
        values: Positive, [points].
    """
    return float(np.polyfit(np.log(np.asarray(silos)), np.log(np.asarray(values)), 1)[0])


def shape(power: float) -> str:
    """Returns the name of a curve that grows as silos ** power."""
    if power < -_NEAR:
        return "falling"
    if power < _NEAR:
        return "flat"
    if power < 1 - _NEAR:
        return "between flat and proportional"
    return "proportional" if power < 1 + _NEAR else "steeper than proportional"


def _sentence(table: pd.DataFrame, metric: str, words: str) -> str:
    # Up to the cohort, a round has as many silos as there are; the law is about more silos than that.
    beyond = table[table["silos"] >= COHORT]
    if len(beyond) < 2:
        return f"{words}: there are too few numbers of silos from {COHORT} on to name a shape."
    power = exponent(beyond["silos"], beyond[metric])
    return (
        f"{words}, from {beyond['silos'].min():,} to {beyond['silos'].max():,} silos: {shape(power)} "
        f"(silos to the power of {power:.2f}), {beyond[metric].iloc[0]:,.3g} to {beyond[metric].iloc[-1]:,.3g}."
    )


def _figure(table: pd.DataFrame) -> go.Figure:
    drawn = figures.figure("silos (log scale)", "seconds (log scale)")
    drawn.update_xaxes(type="log")
    drawn.update_yaxes(type="log")
    names: Sequence[str] = (
        *("component_seconds", "first_round_seconds", "median_round_seconds"),
        *("evaluation_seconds", "inference_seconds"),
    )
    for name in names:
        figures.add_points(drawn, name.replace("_", " "), table["silos"], table[name], is_line=True)
    return drawn
