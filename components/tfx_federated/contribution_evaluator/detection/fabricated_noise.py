"""Silos that send noise, alone or on top of a copy of the global model's change.

Training moves the weights that the silo's rows touch, the same ones and in the same direction from round to round. So
the own part of fabricated updates is spread over all weights, and has nothing in common with the own part before.

Sources: disguised free-riding, Fraboni et al., AISTATS 2021 (arXiv 2006.11901), and random and noisy delta weights, Lin
et al., arXiv 1911.12560, section 3, who detect them by the standard deviation over an update's weights, as here, but
learn an autoencoder of the updates beside it (STD-DAGMM), for which a federation of tens of silos is too small.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfx_federated.contribution_evaluator.detection import honest_silos, observations, readings, vectors

NAME = "fabricated_noise"
# Of the spread that pure noise has; a little of it is in every update.
_LEAST_SHARE_OF_NOISE = 0.5
# In standard deviations of the mean cosine of independent noise.
_LARGEST_DEVIATION = 3.0


def read(observed: observations.Observations) -> readings.Reading | readings.Impossible:
    """Looks for own parts spread more evenly, or with less in common with the last, than at silos with as many rows."""
    if observed.traits is None:
        return readings.Impossible(NAME, "needs the updates of at least two rounds, which the ledger does not hold")
    touched = _touched_share(observed.traits.profile)
    rounds = np.isfinite(observed.traits.own_share).sum(axis=0)
    evenness = honest_silos.unless(
        honest_silos.chance_above(np.log(touched), observed.rows),
        touched < _LEAST_SHARE_OF_NOISE * _touched_share_of_noise(rounds),
    )
    persistence = vectors.mean(observed.traits.persistence)
    novelty = honest_silos.unless(
        honest_silos.chance_below(vectors.fisher(persistence), observed.rows),
        persistence > _LARGEST_DEVIATION / np.sqrt(np.maximum(rounds, 1) * observed.traits.profile.shape[1]),
    )
    # Bonferroni's bound for the two signs.
    chance = np.minimum(2 * np.fmin(evenness, novelty), 1.0)
    if not np.isfinite(chance).any():
        return readings.Impossible(NAME, f"needs two rounds of at least {honest_silos.MINIMUM_SILOS} silos")
    typical_touched, typical_persistence = vectors.median(touched), vectors.median(persistence)

    def reason(silo: int) -> str:
        return (
            f"what is its own in its updates is spread over {touched[silo]:.0%} of the weights ({typical_touched:.0%} "
            f"in the middle silo), its cosine to that of the round before is {persistence[silo]:+.2f} "
            f"({typical_persistence:+.2f}): so is noise"
        )

    return readings.Reading(
        NAME,
        readings.Kind.FREE_RIDING,
        chance,
        reason,
        evidence={"touched_share": touched, "cosine_to_last": persistence},
        series={"cosine_to_last": observed.traits.persistence},
    )


def _touched_share_of_noise(rounds: npt.NDArray[np.int64]) -> vectors.Array:
    """Returns the touched share of normal noise, [silos]: m / (m + 2), as a weight's share is a mean of m squares."""
    return rounds / (rounds + 2)


def _touched_share(profile: vectors.Vectors) -> vectors.Array:
    """Returns the effective share of the weights, [silos]: the participation ratio 1 / sum q^2 over their number.

    Source: the inverse of Simpson's index (Hill, Ecology 54 (1973), 427-432, equation 3 with a = 2).

    Args:
        profile: Shares of the weights, [silos, parameters]; a silo of zeros gets NaN.
    """
    concentration = np.einsum("ij,ij->i", profile, profile, dtype=np.float64)
    inverse = np.divide(1.0, concentration, out=np.full(len(concentration), np.nan), where=concentration > 0)
    return inverse / profile.shape[1]
