"""Arithmetic on many updates, and on numbers by round and silo, of which some are unknown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# By silo, or by round and silo; NaN where unknown.
Array = npt.NDArray[np.float64]
# Updates or weights of models, one a row.
Vectors = npt.NDArray[np.float32]

_LARGEST_COSINE = 1 - 1e-6


def mean(values: Array) -> Array:
    """Returns the mean over the rounds of a silo, [silos]; NaN where there is none."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def median(values: Array) -> float:
    """Returns the median of those that are known; NaN if there are none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def after_first(rounds: Array) -> Array:
    """Returns the rounds without the first, in which silos mostly learn how frequent each label is."""
    return rounds[1:]


def row_cosines(first: Vectors, second: Vectors) -> Array:
    """Returns the cosine of each pair of rows, [rows]; NaN where one is zero."""
    norms = np.sqrt(products(first, first) * products(second, second))
    return np.divide(products(first, second), norms, out=np.full(len(norms), np.nan), where=norms > 0)


def unit(vectors: Vectors) -> Vectors:
    """Returns each row at norm 1; zero rows stay."""
    norms = np.sqrt(products(vectors, vectors))[:, np.newaxis].astype(np.float32)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def fisher(cosines: Array) -> Array:
    """Returns Fisher's z of cosines, whose spread does not depend on them."""
    return np.arctanh(np.clip(cosines, -_LARGEST_COSINE, _LARGEST_COSINE))


def products(first: Vectors, second: Vectors) -> Array:
    """Returns the inner product of each pair of rows, [rows]."""
    return np.einsum("ij,ij->i", first, second, dtype=np.float64)
