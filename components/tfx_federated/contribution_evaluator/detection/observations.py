"""What the detectors look at: numbers of every round and silo, made from the ledger in one pass over its updates.

Everything that norms, cosines and weights determine is made from them, so that it is there without stored updates too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfx_federated.contribution_evaluator.detection import update_traits, vectors
from tfx_federated.contribution_evaluator.detection.ledger import Ledger
from tfx_federated.contribution_evaluator.detection.vectors import Array


@dataclass(frozen=True)
class Observations:
    """What the detectors look at. Rounds in which a silo was not asked are NaN.

    Attributes:
        silos: Names, [silos].
        rows: Training rows, median over the rounds, [silos].
        share: Share of the round's weight, [rounds, silos].
        norm: Norm of the update, [rounds, silos].
        alignment: Cosine of the update and the aggregate of the others, [rounds, silos].
        influence: What the silo's weighted update adds to the aggregate in the aggregate's own direction; the shares
            of a round sum to 1, [rounds, silos].
        cosine_without: Cosine of the aggregate and the aggregate of the others, [rounds, silos].
        mean_alignment: Cosine of a silo's updates and the others' after the first round, [silos]. With stored updates,
            of their means, without the direction of the labels' frequencies.
        loss: Loss of the global model on the silo's rows before its training, [rounds, silos].
        traits: None without stored updates.
    """

    silos: Sequence[str]
    rows: Array
    share: Array
    norm: Array
    alignment: Array
    influence: Array
    cosine_without: Array
    mean_alignment: Array
    loss: Array
    traits: update_traits.UpdateTraits | None


def observe(ledger: Ledger) -> Observations:
    """Reads a ledger.

    The aggregate's norm is sum_s p_s |u_s| cos_s, as the aggregate is sum_s p_s u_s, with the shares p_s of the weight;
    products with the aggregate of the others follow from it.

    Args:
        ledger: Of one training.
    """
    took_part = np.isfinite(ledger.weight) & np.isfinite(ledger.update_norm)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(took_part, ledger.weight, np.nan)
        share = weight / np.nansum(weight, axis=1, keepdims=True)
        weighted = share * ledger.update_norm
        # A zero update has no cosine, and adds nothing. Where another has none, the round's aggregate is unknown.
        along = np.where(weighted == 0, 0.0, weighted * ledger.cosine)
        is_known = np.isfinite(along) | ~took_part
        aggregate = np.where(is_known.all(axis=1), np.nansum(along, axis=1), np.nan)[:, np.newaxis]
        without = np.sqrt(np.maximum(aggregate**2 - 2 * aggregate * along + weighted**2, 0))
        alignment = (aggregate * along - weighted**2) / (weighted * without)
        cosine_without = (aggregate - along) / without
        influence = along / aggregate
    alignment = _cosines(alignment)
    traits = update_traits.compare(ledger) if len(ledger.update_rounds) else None
    mean_alignment = vectors.mean(vectors.after_first(alignment))
    if traits is not None:
        mean_alignment = _mean_alignment(traits, vectors.mean(share))
    return Observations(
        silos=ledger.silos,
        rows=_median(ledger.rows),
        share=share,
        norm=ledger.update_norm,
        alignment=alignment,
        influence=np.where(np.isfinite(influence), influence, np.nan),
        cosine_without=_cosines(cosine_without),
        mean_alignment=mean_alignment,
        loss=ledger.loss_before,
        traits=traits,
    )


def _median(rows: Array) -> Array:
    known = np.isfinite(rows).any(axis=0)
    median = np.full(rows.shape[1], np.nan)
    median[known] = np.nanmedian(rows[:, known], axis=0)
    return median


def _cosines(values: Array) -> Array:
    return np.clip(np.where(np.isfinite(values), values, np.nan), -1.0, 1.0)


def _mean_alignment(traits: update_traits.UpdateTraits, share: Array) -> Array:
    """Returns the cosine of each silo's mean update to those of the others, [silos].

    Honest silos differ in how frequent each label is, for good reason; without that direction, what remains is what
    features tell about labels. Every silo counts with norm 1, times its weight, so that a few wild ones cannot bend
    what the others are compared with.
    """
    along = traits.mean_update @ traits.frequency
    updates = traits.mean_update - np.outer(along, traits.frequency)
    weighted = vectors.unit(updates) * np.nan_to_num(share)[:, np.newaxis].astype(np.float32)
    return vectors.row_cosines(updates, weighted.sum(axis=0) - weighted)
