"""Free riding: what planted silos cost the others, and what leaving out those that the detectors name wins back.

What is planted is in the rows: the trainer runs every silo's steps itself, so that none can lie about its update
(`benchmarks.free_riders` simulates those). The detectors are called on the ledger of the training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.sparse import csgraph

from benchmarks.data import tables
from benchmarks.suite import answers, figures, measures, trainings
from benchmarks.suite.data import manifests
from tff_runtime.settings import ledgers
from tfx_federated.contribution_evaluator import federated_run
from tfx_federated.contribution_evaluator.detection import detectors, readings
from tfx_federated.statistics import bootstrap

NAME = "free_riding"
TITLE = "Free riding: what do planted silos cost the others, and what does leaving out the named ones win back?"
_SILOS, _ROWS_PER_SILO = 24, 500
HONEST = ("nothing", 0.0)


@dataclasses.dataclass(frozen=True)
class _Found:
    """What one kind and share of planted silos comes to for one seed.

    Attributes:
        mean: AUC over the honest silos of the training with all.
        of_leaving_out: Their mean gain if all planted silos are left out; None if there are none.
        of_detection: Their mean gain if those are left out that the detectors name, but one of each group of copies;
            None if they name none.
        planted: Number of planted silos.
        named: How many of them are named.
        falsely_named: How many honest silos are.
        records: All numbers.
    """

    mean: bootstrap.Estimate
    of_leaving_out: bootstrap.Estimate | None
    of_detection: bootstrap.Estimate | None
    planted: int
    named: int
    falsely_named: int
    records: list[answers.Record]


def manifest(context: answers.Context, planted: tuple[str, float], seed: int) -> manifests.Manifest:
    """Returns 24 silos of mixed airlines, sizes by Zipf's law; the honest rows are the same whatever is planted."""
    kind, share = planted
    family = manifests.Family(
        silos=_SILOS,
        rows=_SILOS * _ROWS_PER_SILO,
        least_rows=100,
        size_skew=0.8,
        feature_skew=2.0,
        planted="" if planted == HONEST else kind,
        planted_share=share,
    )
    return manifests.Manifest("flights", family=family, least_evaluation_rows=400, seed=seed)


def accusations(trained: trainings.Trained) -> list[readings.Finding]:
    """Returns what the detectors' tests find; their plain facts (few rows, dominance) accuse nobody."""
    detection = detectors.detect(federated_run.read(trained.run_uri))
    return [finding for finding in detection.findings if finding.p_value is not None]


def to_leave_out(findings: Sequence[readings.Finding]) -> tuple[str, ...]:
    """Returns the silos that one would leave out: those that are named, but of silos with the same rows one stays.

    Args:
        findings: What the detectors' tests find. Of copies all are named, as nobody knows who copied.
    """
    copies = [finding for finding in findings if finding.kind == readings.Kind.DUPLICATE]
    others = {finding.silo for finding in findings if finding not in copies}
    silos = sorted({finding.silo for finding in copies} | {finding.peer for finding in copies if finding.peer})
    places = {silo: place for place, silo in enumerate(silos)}
    joined = np.zeros((len(silos), len(silos)), np.bool_)
    for finding in copies:
        if finding.peer:
            joined[places[finding.silo], places[finding.peer]] = True
    _, groups = csgraph.connected_components(joined, directed=False)
    staying = {silos[np.flatnonzero(groups == group)[0]] for group in np.unique(groups)}
    return tuple(sorted(others | {finding.silo for finding in copies} - staying))


def answer(context: answers.Context) -> answers.Answer:
    """Answers the question."""
    cases = [HONEST, *((kind, share) for kind, shares in context.scale.planted.items() for share in shares)]
    pairs = [_with_and_without_planted(context, case, seed) for case in cases for seed in context.scale.seeds]
    context.train.all([training for pair in pairs for training in pair])
    context.train.all([_without(whole, accusations(context.train(whole))) for whole, _ in pairs])
    found = {case: [_measure(context, case, seed) for seed in context.scale.seeds] for case in cases}
    sentences = [_sentence(case, seeds) for case, seeds in found.items()]
    records = [record for seeds in found.values() for one in seeds for record in one.records]
    return answers.Answer(NAME, TITLE, sentences, _table(found), _figure(found), records)


def _measure(context: answers.Context, case: tuple[str, float], seed: int) -> _Found:
    whole, apart = _with_and_without_planted(context, case, seed)
    findings = accusations(context.train(whole))
    population = context.train.population(whole.manifest)
    planted = tuple(sorted(population.planted))
    named = {finding.silo for finding in findings}
    test = measures.TestRows.of(population)
    honest = ~test.of_silos(planted)
    predicted = context.train(whole).federated
    values = measures.of_silos(test, predicted)
    mean = measures.across_silos(test, values, honest, seed)["mean"]
    model = f"{case[0]}, {case[1]:.0%}"
    rows = int(test.training_rows[honest].sum())
    source = answers.Source(NAME, whole, model)
    records = [*source.of_values(test, values), source.estimate("mean_auc_of_honest_silos", mean, rows)]
    gains: dict[str, bootstrap.Estimate | None] = {"planted": None, "named": None}
    for left_out, training in (("planted", apart), ("named", _without(whole, findings))):
        if training.without:
            gain = _mean_gain(test, context.train(training).federated, predicted, honest)
            gains[left_out] = gain
            left = answers.Source(NAME, training, f"{model}, without the {left_out} silos")
            records.append(left.estimate("mean_gain_of_honest_silos_over_all", gain, rows))
    found = len(named & set(planted))
    counts = {"planted_silos": len(planted), "named_planted_silos": found, "named_honest_silos": len(named) - found}
    records += [source.record(metric, float(count)) for metric, count in counts.items()]
    return _Found(mean, gains["planted"], gains["named"], len(planted), found, len(named) - found, records)


def _with_and_without_planted(
    context: answers.Context, case: tuple[str, float], seed: int
) -> tuple[trainings.Training, trainings.Training]:
    asked = manifest(context, case, seed)
    whole = trainings.Training(asked, context.scale.settings(seed) | {"ledger": ledgers.DetailedLedger()})
    planted = context.train.population(asked).planted
    return whole, dataclasses.replace(whole, without=tuple(sorted(planted)))


def _without(whole: trainings.Training, findings: Sequence[readings.Finding]) -> trainings.Training:
    return dataclasses.replace(whole, without=to_leave_out(findings))


def _mean_gain(
    test: measures.TestRows, candidate: tables.Matrix, baseline: tables.Matrix, among: tables.Mask
) -> bootstrap.Estimate:
    return measures.mean_gain(measures.gains(test, candidate, baseline), among).mean_gain


def _over_seeds(found: Sequence[bootstrap.Estimate | None]) -> answers.Number | None:
    """Sums up over the seeds; a seed in which nobody was left out gains nothing."""
    if all(one is None for one in found):
        return None
    return answers.Number.over_seeds(one or bootstrap.Estimate(0.0, 0.0, 0.0, 0.0) for one in found)


def _table(found: Mapping[tuple[str, float], Sequence[_Found]]) -> pd.DataFrame:
    rows = []
    for (kind, share), seeds in found.items():
        gains = (
            ("gain without the planted", _over_seeds([one.of_leaving_out for one in seeds])),
            ("gain without the named", _over_seeds([one.of_detection for one in seeds])),
        )
        row: dict[str, Any] = {
            "planted": kind,
            "share of silos": f"{share:.0%}",
            "mean AUC of the honest": answers.Number.over_seeds(one.mean for one in seeds).text(),
            **{column: "-" if number is None else number.text(is_difference=True) for column, number in gains},
            "planted silos": f"{np.mean([one.planted for one in seeds]):.3g}",
            "of them named": f"{np.mean([one.named for one in seeds]):.3g}",
            "honest named": f"{np.mean([one.falsely_named for one in seeds]):.3g}",
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _sentence(case: tuple[str, float], seeds: Sequence[_Found]) -> str:
    kind, share = case
    begin = f"{kind} in {share:.0%} of the silos"
    named, planted = sum(one.named for one in seeds), sum(one.planted for one in seeds)
    falsely = sum(one.falsely_named for one in seeds)
    counts = f"the detectors name {named} of {planted} planted and {falsely} honest silos"
    parts = []
    for words, estimates in (
        ("without all planted silos", [one.of_leaving_out for one in seeds]),
        ("without those that are named", [one.of_detection for one in seeds]),
    ):
        number = _over_seeds(estimates)
        if number is not None:
            parts.append(f"{words} an honest silo {number.verdict} ({number.text(is_difference=True)})")
    told = f"; in mean AUC {' and '.join(parts)}" if parts else ""
    return f"{begin}: {counts}{told}."


def _figure(found: Mapping[tuple[str, float], Sequence[_Found]]) -> go.Figure:
    drawn = figures.figure("planted", "gain in mean AUC of the honest silos")
    labels = [f"{kind}, {share:.0%}" for kind, share in found]
    for name, part in (("without the planted silos", "of_leaving_out"), ("without the named silos", "of_detection")):
        numbers = [_over_seeds([getattr(one, part) for one in seeds]) for seeds in found.values()]
        value, lower, upper = (
            [np.nan if number is None else getattr(number, field) for number in numbers]
            for field in ("value", "lower", "upper")
        )
        figures.add_points(drawn, name, labels, value, (lower, upper))
    return drawn
