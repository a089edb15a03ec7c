"""Silos that send the same update again and again, whatever the global model is.

A gradient moves with the model: even of a single row it changes from round to round. This is the constant update among
the fabricated ones of Lin et al., Free-riders in federated learning: attacks and defenses, arXiv 1911.12560, section 3.
"""

from __future__ import annotations

import numpy as np

from tfx_federated.contribution_evaluator.detection import honest_silos, observations, readings, vectors

NAME = "repeated_update"
# Below this the change is that of float16, in which updates are stored.
_LEAST_CHANGE = 1e-4
# The gradient of few rows changes little, but never so little while the model moves.
_LARGEST_CHANGE = 0.01


def read(observed: observations.Observations) -> readings.Reading | readings.Impossible:
    """Looks for changes from one update to the silo's next that are smaller than those of silos with as many rows."""
    if observed.traits is None:
        return readings.Impossible(NAME, "needs the updates of at least two rounds, which the ledger does not hold")
    change = vectors.mean(np.log10(np.maximum(observed.traits.repetition, _LEAST_CHANGE)))
    chance = honest_silos.chance_below(change, observed.rows)
    chance = honest_silos.unless(chance, change > np.log10(_LARGEST_CHANGE))
    if not np.isfinite(chance).any():
        return readings.Impossible(NAME, f"needs two rounds of at least {honest_silos.MINIMUM_SILOS} silos")

    def reason(silo: int) -> str:
        return f"from round to round its update changes by {10 ** change[silo]:.2%} of its norm only"

    return readings.Reading(
        NAME,
        readings.Kind.FREE_RIDING,
        chance,
        reason,
        evidence={"relative_change": 10**change},
        series={"relative_change": observed.traits.repetition},
    )
