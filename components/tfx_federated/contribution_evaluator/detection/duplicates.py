"""Pairs of silos with the same rows, or nearly: who copied is not in the ledger, so both are named.

The global model has the same loss on the same rows in every round; that two honest silos have equal losses in all of
them is no chance. Rows that are the same for the most part show in the updates: beside what all silos share, the
updates of two silos that drew their own rows have nothing in common.

Source: similarity of updates beyond the common one as the sign of Sybils, Fung et al., The limitations of federated
learning in Sybil settings (FoolsGold), RAID 2020, algorithm 1.
"""

from __future__ import annotations

import numpy as np

from tfx_federated.contribution_evaluator.detection import honest_silos, observations, readings, update_traits, vectors

NAME = "duplicates"
_LEAST_DIFFERENCE = 1e-7
# Companies of one town are alike; those with the same rows are the same for the most part.
_LEAST_COSINE = 0.9
# Of the difference to the nearest silo in the middle silo.
_LARGEST_DIFFERENCE = 0.05
# Of the spread of losses over silos: so near by chance is about one pair in as many, in one round.
_SAME = 1e-4


def read(observed: observations.Observations) -> readings.Reading | readings.Impossible:
    """Looks for silos nearer to their nearest one than silos with as many rows are."""
    chances, nearest, evidence = [], [], {}
    if np.isfinite(observed.loss).any():
        twin, difference = _nearest_by_loss(observed.loss)
        chance = honest_silos.chance_below(np.log10(difference), observed.rows)
        chance = honest_silos.unless(chance, difference > _LARGEST_DIFFERENCE * vectors.median(difference))
        chances.append(_unless_the_same(chance, difference, observed.loss))
        nearest.append(twin)
        evidence["loss_difference"] = difference
    if observed.traits is not None:
        twin, cosine = _nearest_by_update(observed.traits, vectors.mean(observed.share))
        chance = honest_silos.chance_above(vectors.fisher(cosine), observed.rows)
        chances.append(honest_silos.unless(chance, cosine < _LEAST_COSINE))
        nearest.append(twin)
        evidence["cosine_beyond_common"] = cosine
    if not chances or not np.isfinite(chances).any():
        return readings.Impossible(NAME, "needs the detailed ledger, with losses before training or updates")
    stacked = np.where(np.isfinite(chances), chances, np.inf)
    clearest = np.argmin(stacked, axis=0)
    silos = np.arange(len(observed.silos))
    # Bonferroni's bound for the two signs; what neither knows stays unknown.
    combined = np.minimum(len(chances) * stacked[clearest, silos], 1.0)
    combined[np.isinf(stacked).all(axis=0)] = np.nan
    twins = np.array(nearest)[clearest, silos]

    def reason(silo: int) -> str:
        sign = (
            "the model's losses on their rows agree in every round"
            if list(evidence)[clearest[silo]] == "loss_difference"
            else "their updates agree beyond what all silos share"
        )
        return (
            f"it seems to have the rows of {observed.silos[twins[silo]]}: {sign}; which of the two copied is not known"
        )

    peers = {silo: observed.silos[twins[silo]] for silo in range(len(twins))}
    return readings.Reading(NAME, readings.Kind.DUPLICATE, combined, reason, evidence, {"loss": observed.loss}, peers)


def _unless_the_same(chance: vectors.Array, difference: vectors.Array, loss: vectors.Array) -> vectors.Array:
    """Returns the chances, and of silos with the losses of another one how seldom that is, [silos].

    It needs no other silos to compare with, which there are not where many have a twin. Losses of successive rounds
    depend on each other, so only two rounds count.
    """
    rounds, silos = np.isfinite(loss).sum(axis=0), loss.shape[1]
    by_chance = min(1.0, (_SAME * (silos - 1)) ** 2)
    is_same = difference <= _SAME * vectors.median(np.nanstd(loss, axis=1))
    return np.where(is_same & (rounds >= 2), np.fmin(chance, by_chance), chance)


def _nearest_by_loss(loss: vectors.Array) -> tuple[np.ndarray, vectors.Array]:
    """Returns for each silo the one with the nearest losses, and their root mean square difference, [silos] each."""
    silos = loss.shape[1]
    twin, least = np.zeros(silos, np.int64), np.full(silos, np.nan)
    for silo in range(silos):
        difference = np.sqrt(vectors.mean((loss - loss[:, [silo]]) ** 2))
        difference[silo] = np.nan
        if np.isfinite(difference).any():
            twin[silo] = np.nanargmin(difference)
            least[silo] = max(difference[twin[silo]], _LEAST_DIFFERENCE)
    return twin, least


def _nearest_by_update(traits: update_traits.UpdateTraits, share: vectors.Array) -> tuple[np.ndarray, vectors.Array]:
    """Returns for each silo the one with the nearest updates less their mean, and the cosine, [silos] each.

    Updates count with norm 1, else all that are nearly zero would be alike: less the mean, they are its opposite.
    """
    updates, weights = vectors.unit(traits.mean_update), np.nan_to_num(share)
    mean = (weights / weights.sum()).astype(np.float32) @ updates
    has_updates = np.count_nonzero(updates, axis=1) > 0
    own = vectors.unit(np.where(has_updates[:, np.newaxis], updates - mean, 0))
    cosines = (own @ own.T).astype(np.float64)
    cosines[~has_updates] = cosines[:, ~has_updates] = -1
    np.fill_diagonal(cosines, -1)
    twin = cosines.argmax(axis=1)
    return twin, np.where(has_updates, cosines[np.arange(len(twin)), twin], np.nan)
