"""Silos whose rows teach the opposite of the others', or nothing: flipped and garbage labels.

Once the model has learned, garbage labels call for unlearning it: the silo's updates point away from those of the
others. This is also all that can be seen of them: where the model learns little, garbage harms little and hides well.

Source: the cosine to the others' updates as what a silo adds, Xu et al., Gradient driven rewards to guarantee fairness
in collaborative machine learning, NeurIPS 2021, section 4.
"""

from __future__ import annotations

import numpy as np

from tfx_federated.contribution_evaluator.detection import honest_silos, observations, readings, vectors

NAME = "opposition"


def read(observed: observations.Observations) -> readings.Reading | readings.Impossible:
    """Looks for updates more opposed to the others' than those of silos with as many rows.

    Without stored updates the cosines of the ledger have to do, which labels' frequencies blur.
    """
    alignment = observed.mean_alignment
    chance = honest_silos.chance_below(vectors.fisher(alignment), observed.rows)
    if not np.isfinite(chance).any():
        return readings.Impossible(NAME, f"needs cosines of at least {honest_silos.MINIMUM_SILOS} silos")
    typical = vectors.median(alignment)

    def reason(silo: int) -> str:
        return (
            f"the cosine of its updates to the others' is {alignment[silo]:+.2f} ({typical:+.2f} in the middle silo), "
            f"too low for {observed.rows[silo]:.0f} rows: its labels may be wrong, or mean something else"
        )

    return readings.Reading(
        NAME,
        readings.Kind.HARM,
        chance,
        reason,
        evidence={"cosine_to_others": alignment},
        series={"cosine_to_others": observed.alignment, "loss": observed.loss},
    )
