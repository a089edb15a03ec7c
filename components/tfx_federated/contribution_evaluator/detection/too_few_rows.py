"""Silos that are honest, but whose rows are so few that their updates are mostly chance.

They look like free riders to a threshold on norm or cosine, and are none; so they are named as what they are.

Source: attenuation. If updates are the common direction plus what comes of the draw of n rows, their cosine to the
others is c sqrt(n / (n + n0)), with n / (n + n0) the reliability of n rows in the formula of Spearman and of Brown
(British Journal of Psychology 3 (1910), 271-295 and 296-322), and n0 the rows at which half is chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import optimize

from tfx_federated.contribution_evaluator.detection import honest_silos, observations, readings, vectors

NAME = "too_few_rows"
# Nine tenths of the update are chance.
LARGEST_CHANCE_SHARE = 0.9


def read(
    observed: observations.Observations, is_suspect: npt.NDArray[np.bool_]
) -> tuple[readings.Reading, vectors.Array] | readings.Impossible:
    """Returns the reading and the share of chance in each silo's updates, [silos], in [0, 1].

    Args:
        observed: The training.
        is_suspect: Silos from which nothing is learned about honest ones, [silos].
    """
    alignment = observed.mean_alignment
    known = np.isfinite(alignment) & (observed.rows > 0) & ~is_suspect
    if np.count_nonzero(known) < honest_silos.MINIMUM_SILOS or np.ptp(observed.rows[known]) == 0:
        return readings.Impossible(
            NAME, f"needs cosines of at least {honest_silos.MINIMUM_SILOS} silos, of different numbers of rows"
        )
    half = _rows_of_half_chance(observed.rows[known], alignment[known])
    share = np.where(observed.rows > 0, half / (half + observed.rows), np.nan)

    def reason(silo: int) -> str:
        return (
            f"of what its {observed.rows[silo]:.0f} rows say, about {share[silo]:.0%} is chance; "
            f"half would be with {half:.0f} rows. It is no free rider: it has too few rows to move the model"
        )

    reading = readings.Reading(
        NAME,
        readings.Kind.TOO_FEW_ROWS,
        np.full(len(share), np.nan),
        reason,
        evidence={
            "rows": observed.rows,
            "chance_share": share,
            "rows_of_half_chance": np.full(len(share), half),
            "cosine_to_others": alignment,
        },
        series={"cosine_to_others": observed.alignment},
    )
    return reading, share


def _rows_of_half_chance(rows: vectors.Array, alignment: vectors.Array) -> float:
    """Fits n0 (and c) by least absolute deviations, roughly, so that misbehaving silos hardly count."""

    def residuals(parameters: vectors.Array) -> vectors.Array:
        ceiling, log_half = parameters
        return ceiling * np.sqrt(rows / (rows + np.exp(log_half))) - alignment

    # From no chance in the smallest silo to chance in the largest.
    bounds = ([0.0, np.log(rows.min() / 10)], [1.0, np.log(rows.max() * 10)])
    start = [float(np.clip(np.quantile(alignment, 0.75), 0.05, 0.95)), float(np.log(np.median(rows)))]
    fitted = optimize.least_squares(residuals, start, bounds=bounds, loss="soft_l1", f_scale=0.05)
    return float(np.exp(fitted.x[1]))
