"""What an honest silo of a given size looks like, told from all silos of the same training.

A small silo is no smaller copy of a large one: its updates are noisier and made in fewer local steps. So each number
is compared with what silos of as many rows show (rows fix the local steps, too), and its spread is that of such silos.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from tfx_federated.contribution_evaluator.detection import vectors

# Of fewer silos, no spread can be told.
MINIMUM_SILOS = 8
# Honest silos differ in more than chance, so that their tails are heavier than the normal ones. Chosen on the taxi
# rides, see benchmarks/free_riders/README.md.
DEGREES_OF_FREEDOM = 10.0
# The share of an update that is chance falls with the rows, at most as their square root.
_STEEPEST_SPREAD = 0.5
_NORMAL_QUARTILE = float(stats.norm.ppf(0.75))


def deviations(values: vectors.Array, rows: vectors.Array) -> vectors.Array:
    """Returns how many spreads a silo is away from honest ones of as many rows, [silos].

    Location and logarithm of the spread are lines over the logarithm of the rows, both fitted by repeated medians
    (Siegel, Biometrika 69 (1982), 242-244), which hold while fewer than half of the silos misbehave. The spread never
    grows with the rows: large silos that misbehave would look like it.

    Args:
        values: On a scale where honest silos spread evenly, [silos]; NaN where unknown.
        rows: Training rows, [silos].

    Returns:
        NaN where nothing is known, and everywhere if fewer than `MINIMUM_SILOS` are.
    """
    known = np.isfinite(values) & (rows > 0)
    result = np.full(len(values), np.nan)
    if np.count_nonzero(known) < MINIMUM_SILOS:
        return result
    size = np.log(rows[known])
    distance = values[known] - _line(values[known], size, -math.inf, math.inf)
    # Where most silos are alike, the smallest difference would be endlessly odd.
    least = max(float(np.median(np.abs(distance))) / _NORMAL_QUARTILE / 4, float(np.finfo(np.float32).eps))
    magnitude = np.log(np.maximum(np.abs(distance), least / 8))
    spread = np.exp(_line(magnitude, size, -_STEEPEST_SPREAD, 0.0)) / _NORMAL_QUARTILE
    result[known] = distance / np.maximum(spread, least)
    return result


def chance_below(values: vectors.Array, rows: vectors.Array) -> vectors.Array:
    """Returns how often an honest silo of as many rows has a value as low, [silos]; NaN as in `deviations`."""
    return stats.t.cdf(deviations(values, rows), DEGREES_OF_FREEDOM)


def chance_above(values: vectors.Array, rows: vectors.Array) -> vectors.Array:
    """Returns how often an honest silo of as many rows has a value as high, [silos]; NaN as in `deviations`."""
    return stats.t.sf(deviations(values, rows), DEGREES_OF_FREEDOM)


def unless(chance: vectors.Array, is_excused: npt.NDArray[np.bool_]) -> vectors.Array:
    """Returns the chances, but 1 where a silo is excused: it may be odd, but is not what is looked for."""
    return np.where(is_excused & np.isfinite(chance), 1.0, chance)


def _line(values: vectors.Array, size: vectors.Array, least: float, most: float) -> vectors.Array:
    """Returns a line through (size, values) at each size."""
    if np.ptp(size) == 0:
        return np.full(len(values), np.median(values))
    slope = float(np.clip(stats.siegelslopes(values, size).slope, least, most))
    return slope * size + np.median(values - slope * size)
