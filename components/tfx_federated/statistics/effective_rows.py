"""How many rows of equal weight are worth the rows of a silo with example weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfx_federated.statistics import arrays


def effective_rows(weights: npt.ArrayLike, squares: npt.ArrayLike | None = None) -> arrays.Vector:
    """Returns the effective number of rows per silo, [silos]: (sum w)^2 / sum w^2, and 0 without weight.

    A weighted mean over them is about as exact as a plain one over so many rows, if weights and values are unrelated.

    Source: Kish, Weighting for unequal P_i, Journal of Official Statistics 8 (1992), 183-200.

    Args:
        weights: Sum of the rows' weights, [silos].
        squares: Sum of the squares of the rows' weights, [silos]; None if every row has weight 1.

    Raises:
        ValueError: The arrays differ in length, hold values that are negative or not finite, or a silo with a positive
            sum of weights has none of squares.
    """
    sums = arrays.counts("weights", weights)
    if squares is None:
        return sums
    squares = arrays.counts("squares", squares)
    arrays.require_same_length(weights=sums, squares=squares)
    if ((sums > 0) & (squares == 0)).any():
        raise ValueError("squares holds 0 where weights do not; give the sum of the squared weights of the same rows")
    rows = np.divide(sums**2, squares, out=np.zeros(len(sums)), where=squares > 0)
    # Equal weights are worth a whole number of rows, but their sums are rounded.
    whole = np.rint(rows)
    return np.where(np.abs(rows - whole) <= arrays.ROUNDING * whole, whole, rows)
