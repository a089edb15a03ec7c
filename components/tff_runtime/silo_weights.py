"""How much each silo counts in the mean of the updates, when silos are of very unequal size.

Weighting by examples minimises the mean loss over rows: a silo with a hundred times the rows has a hundred times the
say. Uniform weights minimise the mean loss over silos. The square root lies between. A cap on the share leaves the
weights as they are but for the largest silos. (Weights p_k of the federated objective: Li et al., arXiv 1905.10497,
equation 1.)

Only the standard library is imported, so that both sides can read this module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

EXAMPLES, UNIFORM, SQUARE_ROOT = WEIGHTINGS = ("examples", "uniform", "square_root")


def weights(rows: Sequence[int], weighting: str, maximum_share: float) -> list[float]:
    """Returns the weight of each silo.

    Args:
        rows: Rows of each silo, each at least 1.
        weighting: One of `WEIGHTINGS`.
        maximum_share: The largest part of all weights that one silo may have, in [1 / number of silos, 1].

    Returns:
        Positive numbers; only their ratios matter.

    Raises:
        ValueError: So small a share is not possible with so few silos.
    """
    uncapped = [_weight(count, weighting) for count in rows]
    limit = cap(uncapped, maximum_share)
    return [min(weight, limit) for weight in uncapped]


def cap(uncapped: Sequence[float], maximum_share: float) -> float:
    """Returns the largest weight c for which min(w_k, c) <= maximum_share * sum_j min(w_j, c) for every silo k.

    Args:
        uncapped: Positive weights.
        maximum_share: In [1 / number of weights, 1].

    Returns:
        The cap; infinity where no silo has a larger share.

    Raises:
        ValueError: So small a share is not possible with so few silos.
    """
    if maximum_share * len(uncapped) < 1 - 1e-9:
        raise ValueError(
            f"maximum_silo_share is {maximum_share}, and {len(uncapped)} silos cannot all have less than "
            f"{1 / len(uncapped):.4g} of the weight; raise it, or take more silos"
        )
    descending = sorted(uncapped, reverse=True)
    rest = math.fsum(descending)
    if descending[0] <= maximum_share * rest:
        return math.inf
    for capped, weight in enumerate(descending[:-1], 1):
        rest -= weight
        remaining_share = 1 - capped * maximum_share
        if remaining_share <= 0:
            break
        limit = maximum_share * rest / remaining_share
        if limit >= descending[capped]:
            return limit
    return descending[-1]


def _weight(rows: int, weighting: str) -> float:
    if weighting == EXAMPLES:
        return float(rows)
    return 1.0 if weighting == UNIFORM else math.sqrt(rows)
