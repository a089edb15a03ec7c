"""What the cells say of every silo: values, intervals, gains, parity and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from tensorflow_model_analysis.metrics import metric_types

from tfx_federated.fairness_evaluator import (
    cell_evaluator,
    cell_metrics,
    cells,
    judged_metric,
    silo_table,
    slice_results,
    slice_rows,
)
from tfx_federated.statistics import (
    arrays,
    bootstrap,
    intervals,
    paired,
    parity,
    shrinkage,
)
from tfx_federated.statistics import evidence as evidence_lib
from tfx_federated.statistics.effective_rows import effective_rows

TRUE_POSITIVE_RATE, POSITIVE_RATE = "true_positive_rate", "positive_rate"
OVERALL = slice_rows.SliceSpec((), by_silo=False, values=(), only_silo=None)
BY_SILO = slice_rows.SliceSpec((), by_silo=True, values=(), only_silo=None)
_CALIBRATION_BINS = np.linspace(0, 1, 11)[1:-1]


@dataclass(frozen=True)
class Question:
    """What is asked of the silos.

    Attributes:
        metric: The judged metric.
        name: Name of the value that is judged.
        key: TFMA's key of the candidate's value.
        minimums: What a claim about a silo needs.
        confidence: Of intervals, two-sided, in (0, 1).
        parity_threshold: Score above which a prediction is positive, for parity; an edge of the cells. None where
            labels have no classes.
        seed: Of the random numbers.
    """

    metric: cell_metrics.CellMetric
    name: str
    key: metric_types.MetricKey
    minimums: evidence_lib.Minimums
    confidence: float
    parity_threshold: float | None
    seed: int = 0


@dataclass(frozen=True)
class Calibration:
    """How predictions agree with labels, by ten ranges of scores.

    Attributes:
        rows: Number of them, [ranges].
        mean_prediction: [ranges]; NaN without rows.
        mean_label: [ranges].
        lower: Lower confidence bound of the mean label, [ranges].
        upper: Upper confidence bound, [ranges].
    """

    rows: arrays.Vector
    mean_prediction: arrays.Vector
    mean_label: arrays.Vector
    lower: arrays.Vector
    upper: arrays.Vector


@dataclass(frozen=True)
class SiloResults:
    """What was found.

    Attributes:
        table: Values, intervals and gains.
        parity: Largest gap between silos by rate; without those that are undefined.
        rates: The rates themselves by name, [silos]; NaN where the rows are too few.
        cells: The candidate's cells by silo.
        overall: The candidate's cells over all rows.
    """

    table: silo_table.SiloTable
    parity: Mapping[str, bootstrap.Estimate]
    rates: Mapping[str, arrays.Vector]
    cells: cell_metrics.SliceCells
    overall: cell_metrics.SliceCells


def of_cells(
    folder: str,
    evaluation: cell_evaluator.Evaluation,
    question: Question,
    results: Sequence[slice_results.SliceResults],
) -> SiloResults:
    """Reads the cells of the silos and of all rows.

    Args:
        folder: Where the cells were written.
        evaluation: What was kept.
        question: What is asked.
        results: Metrics of each specification.
    """
    weighted = bool(question.key.example_weighted)
    overall_spec, silo_spec = evaluation.specs.index(OVERALL), evaluation.specs.index(BY_SILO)
    own = _cells(folder, silo_spec, evaluation, weighted)
    overall = _cells(folder, overall_spec, evaluation, weighted)
    judge = judged_metric.of_metric(question.metric, question.name)
    codes = _evidence(own, judge, question.minimums)
    own_intervals = judge.intervals(own, question.confidence).claimed(codes)
    claimed = own_intervals.evidence == evidence_lib.Evidence.ENOUGH
    values = _values(results[silo_spec], evaluation, question.key, judge, own)
    gains = {
        _public_name(model, evaluation): _gains(folder, evaluation, judge, number).claimed(codes)
        for number, model in enumerate(evaluation.models[1:], start=1)
    }
    table = silo_table.SiloTable(
        metric=question.name,
        scale=judge.scale,
        names=evaluation.silos.names,
        pooled=evaluation.silos.pooled,
        rows=np.rint(_unweighted_rows(folder, silo_spec, evaluation)).astype(np.int64),
        positives=_positives(folder, silo_spec, evaluation),
        values=values,
        intervals=own_intervals,
        gains=gains,
        overall=_overall(folder, overall, overall_spec, evaluation, judge, question, results[overall_spec]),
        across_silos=_across_silos(own, claimed, judge, question, overall),
        worst=_worst(own_intervals, values[silo_table.CANDIDATE], claimed, judge, question),
    )
    found = _parity(own, question) if question.parity_threshold is not None else {}
    return SiloResults(
        table,
        {name: estimate for name, (_, estimate) in found.items() if estimate is not None},
        {name: rates for name, (rates, _) in found.items()},
        own,
        overall,
    )


def calibration(own: cell_metrics.SliceCells, group: int, confidence: float) -> Calibration:
    """Returns the calibration of one silo, or of all rows.

    Args:
        own: Cells.
        group: The silo's place.
        confidence: Of the intervals.
    """
    chosen = own.group == group
    inner = own.edges[(own.edges > 0) & (own.edges < 1)]
    nearest = np.unique([inner[np.abs(inner - edge).argmin()] for edge in _CALIBRATION_BINS]) if len(inner) else inner
    place = own.bucket_between(nearest)[chosen]
    sums = {name: np.bincount(place, own.sums[name][chosen], len(nearest) + 1) for name in own.sums}
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_prediction, mean_label = sums["prediction"] / sums["weight"], sums["label"] / sums["weight"]
    bounds = intervals.of_rates(sums["label"], sums["weight"], confidence, sums["weight_squares"])
    rows = sums["rows"].astype(np.float64)
    return Calibration(rows, mean_prediction, mean_label, bounds.lower, bounds.upper)


def _public_name(model: str, evaluation: cell_evaluator.Evaluation) -> str:
    return silo_table.CANDIDATE if model == evaluation.models[0] else model


def _group(table: pa.Table) -> arrays.IntVector:
    if slice_rows.SILO not in table.column_names:
        return np.zeros(table.num_rows, np.int64)
    return table[slice_rows.SILO].to_numpy().astype(np.int64)


def _cells(
    folder: str, number: int, evaluation: cell_evaluator.Evaluation, weighted: bool, model: int = 0
) -> cell_metrics.SliceCells:
    groups = len(evaluation.silos.names) if evaluation.specs[number].by_silo else 1
    parts = [
        slice_results.slice_cells(table, _group(table), groups, evaluation.layout, model, weighted)
        for table in cell_evaluator.read(folder, number)
    ]
    return _concatenated(parts)


def _concatenated(parts: Sequence[cell_metrics.SliceCells]) -> cell_metrics.SliceCells:
    return cell_metrics.SliceCells(
        np.concatenate([part.group for part in parts]),
        parts[0].groups,
        np.concatenate([part.bucket for part in parts]),
        {name: np.concatenate([part.sums[name] for part in parts]) for name in parts[0].sums},
        parts[0].edges,
    )


def _of_groups(own: cell_metrics.SliceCells, chosen: arrays.Mask) -> cell_metrics.SliceCells:
    kept = chosen[own.group]
    return cell_metrics.SliceCells(
        (np.cumsum(chosen) - 1)[own.group[kept]],
        int(chosen.sum()),
        own.bucket[kept],
        {name: values[kept] for name, values in own.sums.items()},
        own.edges,
    )


def _unweighted_rows(folder: str, number: int, evaluation: cell_evaluator.Evaluation) -> arrays.Vector:
    return _cells(folder, number, evaluation, evaluation.layout.weightings[0]).total("rows")


def _evidence(
    own: cell_metrics.SliceCells, judge: judged_metric.Judge, minimums: evidence_lib.Minimums
) -> evidence_lib.Codes:
    if judge.needs_both_classes:
        positives, negatives = (
            effective_rows(own.total(name), own.total(f"{name}_squares")) for name in ("label", "negative")
        )
        return evidence_lib.of_classes(positives, negatives, minimums)
    return evidence_lib.of_rows(effective_rows(own.total("weight"), own.total("weight_squares")), minimums)


def _positives(folder: str, number: int, evaluation: cell_evaluator.Evaluation) -> arrays.IntVector | None:
    """Returns the rows with label 1 per silo, or None if a label is neither 0 nor 1."""
    if False in evaluation.layout.weightings:
        own = _cells(folder, number, evaluation, weighted=False)
        # Squares of 0 and 1 are themselves, those of numbers between are less, and others have no sum of negatives.
        if all(np.array_equal(own.sums[name], own.sums[f"{name}_squares"]) for name in ("label", "negative")):
            return own.total("label").astype(np.int64)
    return None


def _values(
    results: slice_results.SliceResults,
    evaluation: cell_evaluator.Evaluation,
    key: metric_types.MetricKey,
    judge: judged_metric.Judge,
    own: cell_metrics.SliceCells,
) -> dict[str, arrays.Vector]:
    """Returns the metric by model; a model that does not know all rows of a silo has none there."""
    rows = results.values[key._replace(name="example_count", example_weighted=False)]
    found = {}
    for model in evaluation.models:
        value = results.values[key._replace(model_name=model)]
        known = results.values[key._replace(name="example_count", example_weighted=False, model_name=model)]
        defined = known == rows
        if judge.needs_both_classes:
            defined &= (own.total("label") > 0) & (own.total("negative") > 0)
        found[_public_name(model, evaluation)] = np.where(defined, value, np.nan)
    return found


def _gains(folder: str, evaluation: cell_evaluator.Evaluation, judge: judged_metric.Judge, model: int) -> paired.Gains:
    candidates: list[cell_metrics.SliceCells] = []
    others: list[cell_metrics.SliceCells] = []
    for table in cell_evaluator.read(folder, cell_evaluator.PAIRS):
        own = table.filter(pa.array(table[cells.MODEL].to_numpy() == model))
        sums = {name: own[name].to_numpy() for name in evaluation.layout.sums()}
        for column, parts in ((cells.BUCKET, candidates), (cells.OTHER_BUCKET, others)):
            bucket = own[column].to_numpy().astype(np.int64)
            parts.append(
                cell_metrics.SliceCells(_group(own), len(evaluation.silos.names), bucket, sums, evaluation.layout.edges)
            )
    return judge.gains(judged_metric.PairedCells(_concatenated(candidates), _concatenated(others)))


def _overall(
    folder: str,
    own: cell_metrics.SliceCells,
    number: int,
    evaluation: cell_evaluator.Evaluation,
    judge: judged_metric.Judge,
    question: Question,
    results: slice_results.SliceResults,
) -> silo_table.Overall:
    bounds = judge.intervals(own, question.confidence)
    values = _values(results, evaluation, question.key, judge, own)
    positives = _positives(folder, number, evaluation)
    return silo_table.Overall(
        rows=round(_unweighted_rows(folder, number, evaluation)[0]),
        positives=None if positives is None else int(positives[0]),
        values={model: float(value[0]) for model, value in values.items()},
        lower=float(bounds.lower[0]),
        upper=float(bounds.upper[0]),
    )


def _across_silos(
    own: cell_metrics.SliceCells,
    claimed: arrays.Mask,
    judge: judged_metric.Judge,
    question: Question,
    overall: cell_metrics.SliceCells,
) -> Mapping[str, bootstrap.Estimate]:
    if not claimed.any():
        return {}
    value = float(judge.intervals(overall, question.confidence).estimate[0])
    return bootstrap.estimates(
        judge.silos(_of_groups(own, claimed)),
        own.total("weight")[claimed],
        judge.scale,
        value,
        confidence=question.confidence,
        seed=question.seed,
    )


def _worst(
    own_intervals: intervals.Intervals,
    values: arrays.Vector,
    claimed: arrays.Mask,
    judge: judged_metric.Judge,
    question: Question,
) -> shrinkage.Worst | None:
    if not claimed.any():
        return None
    return shrinkage.worst_silo(
        values[claimed],
        own_intervals.standard_error()[claimed],
        judge.scale.higher_is_better,
        question.confidence,
        seed=question.seed,
    )


def _parity(
    own: cell_metrics.SliceCells, question: Question
) -> dict[str, tuple[arrays.Vector, bootstrap.Estimate | None]]:
    assert question.parity_threshold is not None
    tp, tn, fp, fn = own.confusion(question.parity_threshold)
    minimums, found = question.minimums, {}
    effective = [effective_rows(own.total(name), own.total(f"{name}_squares")) for name in ("label", "weight")]
    for name, successes, trials, squares, rows, least in (
        (TRUE_POSITIVE_RATE, tp, tp + fn, own.total("label_squares"), effective[0], minimums.positives),
        (POSITIVE_RATE, tp + fp, tp + tn + fp + fn, own.total("weight_squares"), effective[1], minimums.rows),
    ):
        enough = rows >= least
        rates = np.divide(successes, trials, out=np.full(own.groups, np.nan), where=enough)
        estimate = None
        if enough.sum() > 1:
            estimate = parity.largest_gap(
                successes[enough], trials[enough], squares[enough], question.confidence, seed=question.seed
            )
        found[name] = rates, estimate
    return found
