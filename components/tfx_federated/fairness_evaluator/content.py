"""The content of the fairness report: JSON values, of which the page, the table and the notebook are views."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfx_federated import json_values
from tfx_federated.fairness_evaluator import findings, gate, silo_results, silo_table, slice_rows
from tfx_federated.statistics import benefit, bootstrap, discoveries, paired
from tfx_federated.statistics import evidence as evidence_lib

SCHEMA = 2
_GROUPS_OF_A_SLICE = 2000
_NAMES = 50
_PARITY = {
    silo_results.TRUE_POSITIVE_RATE: "equal opportunity",
    silo_results.POSITIVE_RATE: "demographic parity",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the evaluation was asked.

    Attributes:
        model: URI of the judged model.
        confidence: Of the intervals.
        minimums: What a claim about a silo needs.
        privacy_minimum: Rows below which silos are pooled, or None.
        parity_threshold: Score above which a prediction is positive.
        false_discovery_rate: Among silos that are called hurt or helped.
    """

    model: str
    confidence: float
    minimums: evidence_lib.Minimums
    privacy_minimum: int | None
    parity_threshold: float | None
    false_discovery_rate: float = 0.05


def of_findings(found: findings.Findings, judgements: Sequence[gate.Judgement], settings: Settings) -> dict[str, Any]:
    """Returns the content; what is undefined is None.

    The keys are those of `report_schema.json`.

    Args:
        found: What was found.
        judgements: The judged rules.
        settings: What was asked.
    """
    table = found.table
    content = {
        "schema": SCHEMA,
        "model": settings.model,
        "metric": table.metric,
        "higher_is_better": table.scale.higher_is_better,
        "confidence": settings.confidence,
        "evidence": _minimums(settings.minimums, table),
        "privacy_minimum": _privacy_minimum(table, settings),
        "rows": table.overall.rows,
        "rows_without_silo": table.rows_without_silo,
        "blessed": gate.blessed(judgements),
        "overall": {
            "value": table.overall.values[silo_table.CANDIDATE],
            "lower": table.overall.lower,
            "upper": table.overall.upper,
            "positives": table.overall.positives,
            "models": {name: value for name, value in table.overall.values.items() if name != silo_table.CANDIDATE},
        },
        "rules": [dataclasses.asdict(judgement) for judgement in judgements],
        "across_silos": {
            "silos": int(table.claimed.sum()),
            "statistics": {name: dataclasses.asdict(value) for name, value in table.across_silos.items()},
        },
        "worst_silo": _worst_silo(table),
        "parity": list(_parity(found, settings)),
        "comparisons": [_comparison(table, model, settings) for model in table.gains],
        "slices": [_slices(sliced, table, settings.minimums.rows) for sliced in found.slices],
        "calibration": list(_calibrations(found, settings)),
        "silos": list(_silos(found, settings)),
    }
    return json_values.finite(content)


def _slices(sliced: findings.SlicedMetric, table: silo_table.SiloTable, minimum_rows: int) -> dict[str, Any]:
    """Returns the metric in the groups of a further specification, and how far groups lie apart in each silo."""
    spec, results = sliced.spec, sliced.results
    features = [*spec.features, *(feature for feature, _ in spec.values)]
    silos = (
        [table.names[silo] for silo in results.names[slice_rows.SILO]] if spec.by_silo else [None] * len(sliced.rows)
    )
    groups = [
        {
            "silo": silo,
            "values": {name: str(value) for name, value in key if name in features},
            "rows": int(rows),
            "value": value,
        }
        for silo, key, rows, value in zip(silos, results.slices, sliced.rows, sliced.values.tolist(), strict=True)
    ]
    by_silo: dict[str | None, list[dict[str, Any]]] = {}
    for group in groups:
        if group["rows"] >= minimum_rows and math.isfinite(group["value"]):
            by_silo.setdefault(group["silo"], []).append(group)
    gaps = [_gap(silo, members) for silo, members in by_silo.items() if len(members) > 1]
    return {
        "features": features,
        "crossed_with_silo": spec.by_silo or spec.only_silo is not None,
        "metric": table.metric,
        "groups": sorted(groups, key=lambda group: -group["rows"])[:_GROUPS_OF_A_SLICE],
        "gaps": sorted(gaps, key=lambda gap: -gap["gap"])[:_GROUPS_OF_A_SLICE],
    }


def _gap(silo: str | None, members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    lowest = min(members, key=lambda group: group["value"])
    highest = max(members, key=lambda group: group["value"])
    return {
        "silo": silo,
        "gap": highest["value"] - lowest["value"],
        "lowest": lowest["values"],
        "highest": highest["values"],
    }


def _minimums(minimums: evidence_lib.Minimums, table: silo_table.SiloTable) -> dict[str, int | None]:
    has_classes = table.positives is not None
    return {
        "minimum_rows": minimums.rows,
        "minimum_positives": minimums.positives if has_classes else None,
        "minimum_negatives": minimums.negatives if has_classes else None,
    }


def _privacy_minimum(table: silo_table.SiloTable, settings: Settings) -> dict[str, Any] | None:
    if settings.privacy_minimum is None:
        return None
    return {
        "minimum_rows": settings.privacy_minimum,
        "pooled_silos": table.pooled,
        "pool": table.names[-1] if table.pooled else None,
    }


def _worst_silo(table: silo_table.SiloTable) -> dict[str, Any] | None:
    if not table.claimed.any():
        return None
    values = np.where(table.claimed, table.values[silo_table.CANDIDATE], np.nan)
    place = int(np.nanargmin(values) if table.scale.higher_is_better else np.nanargmax(values))
    return {
        "name": table.names[place],
        "value": float(values[place]),
        "lower": float(table.intervals.lower[place]),
        "upper": float(table.intervals.upper[place]),
        "rows": int(table.rows[place]),
        "shrunk": None if table.worst is None else dataclasses.asdict(table.worst),
    }


def _parity(found: findings.Findings, settings: Settings) -> Iterator[dict[str, Any]]:
    for name, estimate in found.parity.items():
        rates = found.rates[name]
        lowest, highest = int(np.nanargmin(rates)), int(np.nanargmax(rates))
        yield {
            "name": _PARITY[name],
            "rate": f"{name.replace('_', ' ')} at {settings.parity_threshold:g}",
            "gap": dataclasses.asdict(estimate),
            "lowest": {"name": found.table.names[lowest], "value": float(rates[lowest])},
            "highest": {"name": found.table.names[highest], "value": float(rates[highest])},
        }


def _comparison(table: silo_table.SiloTable, model: str, settings: Settings) -> dict[str, Any]:
    gains = table.gains[model]
    enough = gains.evidence == evidence_lib.Evidence.ENOUGH
    empty = bootstrap.Estimate(math.nan, math.nan, math.nan, math.nan)
    if not enough.any():
        numbers: dict[str, Any] = dict.fromkeys(("helped", "hurt", "significantly_helped", "significantly_hurt"), 0)
        return {
            "model": model,
            "silos": 0,
            **numbers,
            "false_discovery_rate": settings.false_discovery_rate,
            "mean_gain": dataclasses.asdict(empty),
            "standard_deviation": None,
            "significantly_hurt_silos": [],
        }
    summary = benefit.of_gains(gains, settings.false_discovery_rate, confidence=settings.confidence)
    hurt = sorted(np.flatnonzero(summary.significantly_hurt), key=lambda place: gains.gain[place])
    return {
        "model": model,
        "silos": summary.silos,
        "helped": int(summary.helped.sum()),
        "hurt": int(summary.hurt.sum()),
        "significantly_helped": int(summary.significantly_helped.sum()),
        "significantly_hurt": len(hurt),
        "false_discovery_rate": settings.false_discovery_rate,
        "mean_gain": dataclasses.asdict(summary.mean_gain),
        "standard_deviation": summary.standard_deviation,
        "significantly_hurt_silos": [table.names[place] for place in hurt[:_NAMES]],
    }


def _calibrations(found: findings.Findings, settings: Settings) -> Iterator[dict[str, Any]]:
    table = found.table
    cells = found.cells
    if cells is None or table.positives is None or not len(cells.overall.edges):
        return
    yield _calibration(None, "all rows", silo_results.calibration(cells.overall, 0, settings.confidence))
    claimed = np.flatnonzero(table.claimed)
    if not len(claimed):
        return
    values = table.values[silo_table.CANDIDATE][claimed]
    worst = values.argmin() if table.scale.higher_is_better else values.argmax()
    places = {
        int(claimed[table.rows[claimed].argmax()]): "largest",
        int(claimed[table.rows[claimed].argmin()]): "smallest",
        int(claimed[worst]): "worst",
    }
    for place, why in places.items():
        yield _calibration(table.names[place], why, silo_results.calibration(cells.by_silo, place, settings.confidence))


def _calibration(silo: str | None, why: str, calibration: silo_results.Calibration) -> dict[str, Any]:
    bins = [
        dict(zip(("mean_prediction", "mean_label", "lower", "upper", "rows"), numbers, strict=True))
        for numbers in zip(
            calibration.mean_prediction.tolist(),
            calibration.mean_label.tolist(),
            calibration.lower.tolist(),
            calibration.upper.tolist(),
            calibration.rows.astype(int).tolist(),
            strict=True,
        )
        if numbers[-1]
    ]
    return {"silo": silo, "why": why, "rows": int(calibration.rows.sum()), "bins": bins}


def _silos(found: findings.Findings, settings: Settings) -> Iterator[dict[str, Any]]:
    table = found.table
    mean_label = mean_prediction = np.full(len(table.names), np.nan)
    if found.cells is not None:
        own = found.cells.by_silo
        with np.errstate(divide="ignore", invalid="ignore"):
            mean_label = own.total("label") / own.total("weight")
            mean_prediction = own.total("prediction") / own.total("weight")
    overall = table.overall.values[silo_table.CANDIDATE]
    value = table.values[silo_table.CANDIDATE]
    columns = {
        "name": list(table.names),
        "rows": table.rows.tolist(),
        "positives": [None] * len(table.names) if table.positives is None else table.positives.tolist(),
        "value": value.tolist(),
        "lower": table.intervals.lower.tolist(),
        "upper": table.intervals.upper.tolist(),
        "evidence": [evidence_lib.Evidence(code).name.lower() for code in table.intervals.evidence],
        "difference_to_overall": (value - overall).tolist(),
        "mean_label": mean_label.tolist(),
        "mean_prediction": mean_prediction.tolist(),
    }
    models = {name: values.tolist() for name, values in table.values.items() if name != silo_table.CANDIDATE}
    gains = {model: _gains(table.gains[model], settings) for model in table.gains}
    for place, row in enumerate(zip(*columns.values(), strict=True)):
        yield {
            **dict(zip(columns, row, strict=True)),
            "models": {name: values[place] for name, values in models.items()},
            "gains": {name: values[place] for name, values in gains.items()},
        }


def _gains(gains: paired.Gains, settings: Settings) -> list[dict[str, Any]]:
    bounds = gains.intervals(settings.confidence)
    helped = discoveries.discover(gains.p_helped, settings.false_discovery_rate).found
    hurt = discoveries.discover(gains.p_hurt, settings.false_discovery_rate).found
    enough = gains.evidence == evidence_lib.Evidence.ENOUGH
    verdicts = np.select(
        [~enough, helped, hurt],
        ["too few rows", "significantly helped", "significantly hurt"],
        "no significant difference",
    )
    return [
        {"gain": gain, "lower": lower, "upper": upper, "verdict": verdict}
        for gain, lower, upper, verdict in zip(
            gains.gain.tolist(), bounds.lower.tolist(), bounds.upper.tolist(), verdicts.tolist(), strict=True
        )
    ]
