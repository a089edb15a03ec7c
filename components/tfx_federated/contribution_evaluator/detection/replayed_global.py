"""Silos that send back, scaled or not, how the global model last changed.

Source: delta weights, Lin et al., Free-riders in federated learning: attacks and defenses, arXiv 1911.12560, section 3.
Hidden under noise, it is for `fabricated_noise` to find.
"""

from __future__ import annotations

import numpy as np

from tfx_federated.contribution_evaluator.detection import honest_silos, observations, readings, vectors

NAME = "replayed_global"
# An honest silo that outweighs the others follows its own last update, but never so closely.
_LARGEST_OWN_SHARE = 0.01
_LEAST_OWN_SHARE = 1e-8


def read(observed: observations.Observations) -> readings.Reading | readings.Impossible:
    """Looks for updates with a smaller own part than those of silos with as many rows, and hardly any at all."""
    if observed.traits is None:
        return readings.Impossible(NAME, "needs the updates of at least two rounds, which the ledger does not hold")
    own = vectors.mean(np.log10(np.maximum(observed.traits.own_share, _LEAST_OWN_SHARE)))
    chance = honest_silos.chance_below(own, observed.rows)
    chance = honest_silos.unless(chance, own > np.log10(_LARGEST_OWN_SHARE))
    if not np.isfinite(chance).any():
        return readings.Impossible(NAME, f"needs two rounds of at least {honest_silos.MINIMUM_SILOS} silos")

    def reason(silo: int) -> str:
        return (
            f"all but {10 ** own[silo]:.2%} of its updates is the last change of the global model, "
            "which every silo has got"
        )

    return readings.Reading(
        NAME,
        readings.Kind.FREE_RIDING,
        chance,
        reason,
        evidence={"own_share": 10**own},
        series={"own_share": observed.traits.own_share},
    )
