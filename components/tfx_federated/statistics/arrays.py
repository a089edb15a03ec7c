"""Checked vectors: one entry per silo or per row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
IntVector = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Relative error that is allowed for sums of example weights: they depend on the order of the rows.
ROUNDING = 1e-9


def vector(name: str, values: npt.ArrayLike) -> Vector:
    """Returns the values as a vector of doubles.

    Raises:
        ValueError: They are not of one dimension.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; give one number for each silo or row")
    return array


def finite(name: str, values: npt.ArrayLike) -> Vector:
    """Returns the values as a vector of doubles, all finite.

    Raises:
        ValueError: They are not of one dimension, or one is NaN or infinite.
    """
    array = vector(name, values)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds {np.count_nonzero(~np.isfinite(array))} values that are NaN or infinite")
    return array


def counts(name: str, values: npt.ArrayLike) -> Vector:
    """Returns the values as a vector of doubles, all finite and at least 0.

    Raises:
        ValueError: They are not of one dimension, or one is NaN, infinite or negative.
    """
    array = finite(name, values)
    if (array < 0).any():
        raise ValueError(f"{name} holds {np.count_nonzero(array < 0)} negative values; counts are at least 0")
    return array


def require_same_length(**arrays: npt.NDArray) -> None:
    """Raises ValueError, with the names, if the arrays differ in length."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"these must be of one length, but are not: {lengths}")


def require_probability(name: str, value: float) -> None:
    """Raises ValueError if the value is not strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}; it must be between 0 and 1")
