"""What each silo got: how much better one model answers its held-out rows than another, on the same rows.

The intervals are those of `tfx_federated.statistics.paired`: DeLong's for AUC, McNemar's and Bonett and Price's
for accuracy, Student's for losses. For a silo with few rows they hold their confidence better than a bootstrap of its
rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfx_federated.contribution_evaluator import held_out_rows, metrics
from tfx_federated.statistics import evidence as evidence_lib
from tfx_federated.statistics import paired

Predictions = npt.NDArray[np.float32]


def gains(
    metric: str,
    rows: held_out_rows.HeldOutRows,
    candidate: Predictions,
    baseline: Predictions,
    minimums: evidence_lib.Minimums,
) -> paired.Gains:
    """Returns the gains of the silos, [silos]; positive is better.

    Args:
        metric: Name of the metric, as in `utilities.Metric`.
        rows: The held-out rows.
        candidate: Predictions of one model, [rows, ...]; NaN where it has none.
        baseline: Predictions of the other model, likewise.
        minimums: What a claim about a silo needs.
    """
    answered = _answered(candidate) & _answered(baseline)
    silo, silos = rows.silo_of_row, len(rows.silos)

    def of_silos(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.bincount(silo, np.where(answered, values, 0.0), silos).astype(np.float64)

    if metric == "auc":
        positives, negatives = answered & (rows.labels == 1), answered & (rows.labels != 1)
        candidate, baseline = (np.where(answered, scores, 0) for scores in (candidate, baseline))
        found = paired.of_areas(silo, candidate, baseline, positives, negatives, silos)
        return found.claimed(evidence_lib.of_classes(of_silos(positives), of_silos(negatives), minimums))
    of_rows = metrics.OF_ROWS[metric]
    better, worse = (of_rows(predictions[np.newaxis], rows.labels)[0] for predictions in (candidate, baseline))
    if metric == "accuracy":
        found = paired.of_accuracies(of_silos(answered), of_silos(better > worse), of_silos(better < worse))
    else:
        difference = np.where(answered, better - worse, 0)
        found = paired.of_losses(of_silos(answered), of_silos(difference), of_silos(difference**2))
    return found.claimed(evidence_lib.of_rows(of_silos(answered), minimums))


def _answered(predictions: Predictions) -> npt.NDArray[np.bool_]:
    """Returns whether a row has a prediction, [rows]."""
    numbers = np.isfinite(predictions.reshape(len(predictions), -1))
    return np.logical_and.reduce(numbers, axis=1, dtype=np.bool_)
