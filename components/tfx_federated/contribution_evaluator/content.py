"""The content of the contribution report: JSON values, of which the page, the table and a silo's sheet are views."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tff_runtime.settings import encoding
from tfx_federated import json_values
from tfx_federated.contribution_evaluator import balance, evaluation, gate, methods
from tfx_federated.contribution_evaluator.detection import readings
from tfx_federated.contribution_evaluator.federated_run import Array, Ledger
from tfx_federated.contribution_evaluator.shapley import Vector
from tfx_federated.statistics import discoveries, intervals, paired
from tfx_federated.statistics import evidence as evidence_lib

SCHEMA = 1
# With more silos, a line for each in every round is no longer read by anybody.
_SILOS_BY_ROUND = 50
_NAMES = 50


def of_evaluation(found: evaluation.Evaluation, judgements: Sequence[gate.Judgement]) -> dict[str, Any]:
    """Returns the content; what is not known is None.

    The keys are those of `report_schema.json`.

    Args:
        found: What is known of the training.
        judgements: The judged rules.
    """
    ledger, settings = found.ledger, found.settings
    content = {
        "schema": SCHEMA,
        "federated_run": ledger.uri,
        "split": settings.split,
        "confidence": settings.confidence,
        "false_discovery_rate": settings.false_discovery_rate,
        "utility": encoding.encode(settings.utility),
        "privacy": ledger.settings["privacy"]["type"],
        "rounds": {
            "recorded": len(ledger.rounds),
            "missing": ledger.missing_rounds,
            "with_updates": len(ledger.update_rounds),
            "omitted": list(ledger.omitted_rounds),
        },
        "blessed": gate.blessed(judgements),
        "rules": [dataclasses.asdict(judgement) for judgement in judgements],
        "contribution": _contribution(found),
        "comparisons": [_comparison(comparison, found) for comparison in found.comparisons],
        "findings": [_finding(finding) for finding in found.detection.findings] if found.detection else [],
        "tested_silos": _tested_silos(found),
        "not_computed": [dataclasses.asdict(missing) for missing in found.not_computed],
        "silos": list(_silos(found)),
    }
    return json_values.finite(content)


def _contribution(found: evaluation.Evaluation) -> dict[str, Any] | None:
    contribution = found.contribution
    if contribution is None:
        return None
    concentration = balance.concentration(contribution.values)
    by_round = None
    if contribution.by_round is not None and len(found.ledger.silos) <= _SILOS_BY_ROUND:
        values = dict(zip(found.ledger.silos, contribution.by_round.T.tolist(), strict=True))
        by_round = {"rounds": list(contribution.rounds), "values": values}
    return {
        "method": encoding.encode(contribution.method),
        "gained": contribution.gained,
        "efficiency_gap": contribution.efficiency_gap,
        "evaluations": contribution.evaluations,
        "rounds": list(contribution.rounds),
        "skipped_rounds": list(contribution.skipped_rounds),
        "groups": [list(group) for group in contribution.groups],
        "share_of_largest": concentration.share_of_largest,
        "silos_for_half": concentration.silos_for_half or None,
        "gini": concentration.gini,
        "by_round": by_round,
    }


def _comparison(comparison: evaluation.Comparison, found: evaluation.Evaluation) -> dict[str, Any]:
    gains, summary = comparison.gains, comparison.over_silos
    concentration = balance.concentration(gains.gain)
    content: dict[str, Any] = {
        "model": comparison.model,
        "baseline": comparison.baseline,
        "silos": 0,
        **dict.fromkeys(("helped", "hurt", "significantly_helped", "significantly_hurt"), 0),
        "significantly_hurt_silos": [],
        "mean_gain": None,
        "gini": concentration.gini,
        "jain": concentration.jain,
        "balance": None if comparison.balance is None else dataclasses.asdict(comparison.balance),
    }
    if summary is None:
        return content
    hurt = sorted(np.flatnonzero(summary.significantly_hurt).tolist(), key=lambda place: gains.gain[place])
    return content | {
        "silos": summary.silos,
        "helped": int(summary.helped.sum()),
        "hurt": int(summary.hurt.sum()),
        "significantly_helped": int(summary.significantly_helped.sum()),
        "significantly_hurt": len(hurt),
        "significantly_hurt_silos": [found.rows.silos[place] for place in hurt[:_NAMES]],
        "mean_gain": dataclasses.asdict(summary.mean_gain),
    }


def _finding(finding: readings.Finding) -> dict[str, Any]:
    return {
        "silo": finding.silo,
        "detector": finding.detector,
        "kind": str(finding.kind),
        "score": finding.score,
        "p_value": finding.p_value,
        "reason": finding.reason,
        "evidence": dict(finding.evidence),
        "series": {name: list(values) for name, values in finding.series.items()},
        "peer": finding.peer,
    }


def _tested_silos(found: evaluation.Evaluation) -> int:
    return 0 if found.detection is None else sum(math.isfinite(chance) for chance in found.detection.p_value.values())


def _silos(found: evaluation.Evaluation) -> Iterator[dict[str, Any]]:
    ledger, rows = found.ledger, found.rows
    held_out = dict(zip(rows.silos, range(len(rows.silos)), strict=True))
    of_training = _of_training(ledger)
    given = _given(found)
    got = {comparison.model: _gains(comparison.gains, found.settings) for comparison in found.comparisons}
    suspicion = found.detection.suspicion if found.detection else {}
    found_by: dict[str, list[str]] = {}
    for finding in found.detection.findings if found.detection else ():
        found_by.setdefault(finding.silo, []).append(finding.detector)
    for silo in [*ledger.silos, *sorted(set(rows.silos) - set(ledger.silos))]:
        place = held_out.get(silo)
        number = ledger.place.get(silo)
        training = _NOT_IN_TRAINING if number is None else of_training[number]
        yield {
            "name": silo,
            "rows": None if number is None else ledger.settings["silos"][silo]["rows"],
            "held_out_rows": 0 if place is None else int(rows.counts[place]),
            **training,
            "contribution": None if number is None or given is None else given[number],
            "values": {name: None if place is None else float(values[place]) for name, values in found.values.items()},
            "gains": {name: _NO_GAIN if place is None else gains[place] for name, gains in got.items()},
            "suspicion": suspicion.get(silo, math.nan),
            "findings": found_by.get(silo, []),
            "notes": [*_notes(found, silo, training, place), *_doubts(found, silo)],
        }


_NOT_IN_TRAINING: dict[str, Any] = {
    "rounds": 0,
    **dict.fromkeys(("weight_share", "first_round", "last_round", "mean_update_norm", "mean_cosine")),
}
_NO_GAIN = {"gain": None, "lower": None, "upper": None, "verdict": "too few rows"}


def _of_training(ledger: Ledger) -> list[dict[str, Any]]:
    took_part, rounds = ledger.took_part, np.asarray(ledger.rounds)
    weight = np.where(took_part, ledger.weight, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = _mean(weight / np.nansum(weight, axis=1, keepdims=True))
    norm, cosine = _mean(ledger.update_norm), _mean(ledger.cosine)
    described = []
    for silo, mine in enumerate(took_part.T):
        known = rounds[mine]
        described.append(
            {
                "rounds": len(known),
                "weight_share": float(share[silo]),
                "first_round": int(known[0]) if len(known) else None,
                "last_round": int(known[-1]) if len(known) else None,
                "mean_update_norm": float(norm[silo]),
                "mean_cosine": float(cosine[silo]),
            }
        )
    return described


def _mean(values: Array) -> Vector:
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _given(found: evaluation.Evaluation) -> list[dict[str, Any] | None] | None:
    contribution = found.contribution
    if contribution is None:
        return None
    values = contribution.values
    shares = balance.positive_shares(values)
    order = np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind="stable")
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(1, len(values) + 1)
    reach = intervals.normal_quantile(found.settings.confidence) * contribution.standard_errors
    return [
        None
        if not math.isfinite(values[place])
        else {
            "value": float(values[place]),
            "standard_error": float(contribution.standard_errors[place]),
            "lower": float(values[place] - reach[place]),
            "upper": float(values[place] + reach[place]),
            "share": float(shares[place]) if values[place] > 0 else None,
            "rank": int(rank[place]),
        }
        for place in range(len(values))
    ]


def _gains(gains: paired.Gains, settings: evaluation.Settings) -> list[dict[str, Any]]:
    bounds = gains.intervals(settings.confidence)
    helped = discoveries.discover(gains.p_helped, settings.false_discovery_rate).found
    hurt = discoveries.discover(gains.p_hurt, settings.false_discovery_rate).found
    verdicts = np.select(
        [
            gains.evidence == evidence_lib.Evidence.UNDEFINED,
            gains.evidence != evidence_lib.Evidence.ENOUGH,
            helped,
            hurt,
        ],
        ["undefined", "too few rows", "significantly helped", "significantly hurt"],
        "no significant difference",
    )
    return [
        {"gain": gain, "lower": lower, "upper": upper, "verdict": verdict}
        for gain, lower, upper, verdict in zip(
            gains.gain.tolist(), bounds.lower.tolist(), bounds.upper.tolist(), verdicts.tolist(), strict=True
        )
    ]


def _notes(found: evaluation.Evaluation, silo: str, training: Mapping[str, Any], place: int | None) -> Iterator[str]:
    ledger, settings = found.ledger, found.settings
    rounds = len(ledger.rounds)
    if silo not in ledger.place:
        yield "was not in the training: nothing can be said of its contribution"
    elif not training["rounds"] and ledger.took_part.any():
        yield "took part in no round: nothing can be said of its contribution"
    elif 0 < training["rounds"] < rounds:
        yield (
            f"took part in {training['rounds']} of {rounds} rounds, from round {training['first_round']} to "
            f"{training['last_round']}" + (": its contribution is over these rounds" if _is_by_round(found) else "")
        )
    if place is None:
        yield f"has no rows in split {settings.split!r}: nothing can be said of its benefit"
    elif found.values and math.isnan(found.values[evaluation.FEDERATED][place]):
        yield f"{settings.utility.metric} is undefined on its held-out rows, which are of one class"


def _is_by_round(found: evaluation.Evaluation) -> bool:
    return found.contribution is not None and found.contribution.by_round is not None


def _doubts(found: evaluation.Evaluation, silo: str) -> Iterator[str]:
    """Says where a contribution is not of what a silo sent, though the detectors question just that."""
    if found.contribution is None or found.detection is None:
        return
    is_of_updates = not isinstance(found.contribution.method, (methods.LocalModelsShapley, methods.Retraining))
    kinds = {finding.kind for finding in found.detection.findings if finding.silo == silo}
    if not is_of_updates and readings.Kind.FREE_RIDING in kinds:
        yield (
            f"its contribution by {type(found.contribution.method).__name__} tells what its rows could give; the "
            "detectors question that it sent it"
        )
