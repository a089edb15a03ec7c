"""The large silo that drowns the rest: the model goes where it goes, whatever the others send.

A plain fact of weights and updates and no test. Its influence is its term in the squared norm of the aggregate, whose
terms sum to it; see Xu et al., Gradient driven rewards, NeurIPS 2021, section 4, for cosines to the aggregate as the
measure of what a silo adds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfx_federated.contribution_evaluator.detection import observations, readings, vectors

NAME = "dominance"
# More than all others together.
LARGEST_INFLUENCE = 0.5


def read(
    observed: observations.Observations, is_suspect: npt.NDArray[np.bool_]
) -> tuple[readings.Reading, vectors.Array] | readings.Impossible:
    """Returns the reading and each silo's influence, mean over its rounds, [silos]."""
    del is_suspect  # Influence is measured on each silo by itself.
    influence = vectors.mean(observed.influence)
    if np.count_nonzero(np.isfinite(influence)) < 2:
        return readings.Impossible(NAME, "needs norms and cosines of at least two silos")
    share, cosine = vectors.mean(observed.share), vectors.mean(observed.cosine_without)

    def reason(silo: int) -> str:
        return (
            f"with {share[silo]:.0%} of the weight it makes {influence[silo]:.0%} of where the model goes; the cosine "
            f"of that to where the others would go without it is {cosine[silo]:+.2f}"
        )

    reading = readings.Reading(
        NAME,
        readings.Kind.DOMINANCE,
        np.full(len(influence), np.nan),
        reason,
        evidence={"weight_share": share, "influence": influence, "cosine_of_aggregates": cosine},
        series={"influence": observed.influence, "cosine_of_aggregates": observed.cosine_without},
    )
    return reading, np.clip(influence, 0.0, 1.0)
