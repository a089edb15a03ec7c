"""Silos that send nothing: the global model comes back as it was, or nearly.

Source: plain free-riding, Fraboni et al., Free-rider attacks on model aggregation in federated learning, AISTATS 2021
(arXiv 2006.11901).
"""

from __future__ import annotations

import numpy as np

from tfx_federated.contribution_evaluator.detection import honest_silos, observations, readings, vectors

NAME = "no_update"
# Of the middle silo's norm; small silos make fewer steps, but more than so few.
_LARGEST_NORM = 0.1


def read(observed: observations.Observations) -> readings.Reading | readings.Impossible:
    """Looks for norms below those of silos with as many rows; zero in most rounds is called without comparison."""
    is_zero = observed.norm == 0
    asked = np.isfinite(observed.norm).sum(axis=0)
    zeros = is_zero.sum(axis=0)
    norm = vectors.mean(np.where(is_zero, np.nan, observed.norm))
    if not np.isfinite(norm).any() and not zeros.any():
        return readings.Impossible(NAME, "the ledger holds no norms of updates")
    chance = honest_silos.chance_below(np.log(norm), observed.rows)
    chance = honest_silos.unless(chance, norm > _LARGEST_NORM * vectors.median(norm))
    chance = np.where((asked > 0) & (2 * zeros > asked), 0.0, chance)

    def reason(silo: int) -> str:
        if zeros[silo]:
            return (
                f"its update was exactly zero in {zeros[silo]} of {asked[silo]} rounds: the model came back untrained"
            )
        return (
            f"its updates are far smaller than those of silos with about {observed.rows[silo]:.0f} rows: "
            "it hardly trained"
        )

    return readings.Reading(
        NAME,
        readings.Kind.FREE_RIDING,
        chance,
        reason,
        evidence={"mean_update_norm": np.where(np.isfinite(norm), norm, 0.0), "rounds_with_zero": zeros.astype(float)},
        series={"update_norm": observed.norm},
    )
