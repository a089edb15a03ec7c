"""Our detectors, and plain rules that need no model of honest silos, on the same ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn import covariance

from benchmarks.free_riders import ledgers
from tfx_federated.contribution_evaluator.detection import detectors, readings, vectors

# Three standard deviations of a normal distribution.
_LARGEST_DEVIATION = 3.0


@dataclass(frozen=True)
class Judgement:
    """What a contender thinks of the silos of one ledger.

    Attributes:
        score: The higher, the more suspect, [silos].
        is_found: Whether it calls the silo, [silos].
    """

    score: npt.NDArray[np.float64]
    is_found: npt.NDArray[np.bool_]


def judge(ledger: ledgers.SimulatedLedger) -> Mapping[str, Judgement]:
    """Returns the judgement of each contender by its name; `too_few_rows` is our finding that blames nobody."""
    detection = detectors.detect(ledger)
    norm = np.log(np.maximum(ledger.update_norm.mean(axis=0), np.finfo(np.float32).tiny))
    cosine = vectors.mean(np.nan_to_num(ledger.cosine))
    return {
        "ours": _ours(detection, False),
        "too_few_rows": _ours(detection, True),
        "norm_threshold": _threshold(np.abs(norm - np.median(norm)) / _spread(norm)),
        "cosine_threshold": _threshold((np.median(cosine) - cosine) / _spread(cosine)),
        "robust_distance": _robust_distance(
            np.column_stack([norm, cosine, ledger.loss_before[0] - ledger.loss_before[-1]])
        ),
    }


def _ours(detection: detectors.Detection, is_about_rows: bool) -> Judgement:
    scores = detection.scores.get("too_few_rows", {}) if is_about_rows else detection.p_value
    found = {
        finding.silo
        for finding in detection.findings
        if (finding.kind is readings.Kind.TOO_FEW_ROWS if is_about_rows else finding.p_value is not None)
    }
    values = np.array([scores.get(silo, np.nan) for silo in detection.p_value])
    # P-values themselves, as 1 - p is the same number for all very small ones.
    score = np.nan_to_num(values if is_about_rows else -values, nan=-np.inf)
    return Judgement(score, np.array([silo in found for silo in detection.p_value]))


def _threshold(deviation: npt.NDArray[np.float64]) -> Judgement:
    return Judgement(deviation, deviation > _LARGEST_DEVIATION)


def _spread(values: npt.NDArray[np.float64]) -> float:
    return float(stats.median_abs_deviation(values, scale="normal"))


def _robust_distance(points: npt.NDArray[np.float64]) -> Judgement:
    """Mahalanobis distance by the minimum covariance determinant, called beyond the 99.9 % quantile of chi squared."""
    squares = covariance.MinCovDet(random_state=0).fit(points).mahalanobis(points)
    return Judgement(squares, squares > stats.chi2.ppf(0.999, points.shape[1]))
