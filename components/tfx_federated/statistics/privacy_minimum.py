"""Which silos may appear by name; the others are published as one group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfx_federated.statistics import arrays


@dataclass(frozen=True)
class Publication:
    """How silos appear: each by its name, or in the pool.

    Attributes:
        pooled: Whether the silo is in the pool, [silos].
        group: Published group of each silo, [silos]: the named ones in their order, then the pool. Sum a count over
            groups with `numpy.bincount`, or give the group in place of the silo to `delong.areas`.
        groups: Number of published groups.
        enough_rows: Whether all silos together have the minimum of rows. If not, publish nothing, not even the overall
            value.
    """

    pooled: arrays.Mask
    group: arrays.IntVector
    groups: int
    enough_rows: bool


def publish(rows: npt.ArrayLike, minimum_rows: int, minimum_silos: int = 3) -> Publication:
    """Pools the silos with fewer rows than the minimum, and hides what a subtraction would give away.

    The overall value less the named silos is the pool. A pool of one silo would show it as if it were named, and in a
    pool of two each could subtract itself and see the other. So as long as the pool is not empty and has too few silos
    or too few rows, the next smallest silo joins it, though it has enough rows itself (ties: the first one).

    This is no differential privacy: publications over changed rows or other groups of the same rows can still be
    subtracted from each other.

    Source: minimum frequency rule and secondary suppression, Hundepool et al., Statistical Disclosure Control (2012),
    Sections 4.2 and 4.4.

    Args:
        rows: Rows per silo, [silos].
        minimum_rows: Rows that a published group needs, at least 1.
        minimum_silos: Silos that the pool needs, at least 2.

    Raises:
        ValueError: A count or a minimum is out of its range.
    """
    if minimum_rows < 1 or minimum_silos < 2:
        raise ValueError(f"minimum_rows is {minimum_rows}, minimum_silos {minimum_silos}; give at least 1 and 2")
    rows = arrays.counts("rows", rows)
    order = np.argsort(rows, kind="stable")
    pool = int(np.count_nonzero(rows < minimum_rows))
    if pool:
        needed_rows = np.searchsorted(np.cumsum(rows[order]), minimum_rows) + 1
        # A silo without a row hides no other.
        needed_silos = np.searchsorted(np.cumsum(rows[order] > 0), minimum_silos) + 1
        pool = min(max(pool, int(needed_rows), int(needed_silos)), len(rows))
    pooled = np.zeros(len(rows), np.bool_)
    pooled[order[:pool]] = True
    named = len(rows) - pool
    group = np.where(pooled, named, np.cumsum(~pooled) - 1)
    return Publication(pooled, group, named + (pool > 0), bool(rows.sum() >= minimum_rows))
