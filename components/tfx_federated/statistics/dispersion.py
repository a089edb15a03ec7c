"""How a metric spreads over silos. Every silo counts once, except where rows are named.

All functions take values of shape [..., silos] and work on the last axis, so that many bootstrap replicates are one
call. Values must be finite: leave out the silos about which nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfx_federated.statistics import arrays

DECILE = 0.1


@dataclass(frozen=True)
class Scale:
    """The values that a metric can take, and which end is good.

    Attributes:
        lower: Least value.
        upper: Greatest value.
        higher_is_better: False for a loss.
    """

    lower: float = 0.0
    upper: float = 1.0
    higher_is_better: bool = True

    def error(self, values: arrays.Vector) -> arrays.Vector:
        """Returns the distance from the best possible value, or NaN where there is none.

        For a loss that is the loss itself, for accuracy and AUC one minus the value.
        """
        best = self.upper if self.higher_is_better else self.lower
        return np.abs(best - values) if math.isfinite(best) else np.full_like(values, np.nan)


LOSS = Scale(0.0, math.inf, higher_is_better=False)


def summary(
    values: npt.ArrayLike, rows: npt.ArrayLike, scale: Scale, overall: float | None = None
) -> Mapping[str, arrays.Vector]:
    """Returns every statistic of this module by its name, [...] each.

    `gini_of_error` and `jain_of_error` are about the error, not the metric: on metrics near 1 both always look fair.

    Args:
        values: Metric per silo, [..., silos].
        rows: Rows per silo, of the same shape.
        scale: What the metric's values mean.
        overall: Metric over all rows; the row-weighted mean if None, which is the same for rates and mean losses, but
            not for AUC.

    Raises:
        ValueError: There is no silo, the shapes differ, or a value is NaN or infinite.
    """
    values, rows = np.asarray(values, np.float64), np.asarray(rows, np.float64)
    if values.shape != rows.shape or not values.size:
        raise ValueError(f"values {values.shape} and rows {rows.shape} must be of one shape, with at least one silo")
    if not np.isfinite(values).all():
        raise ValueError("values hold NaN or infinity; leave out the silos about which nothing is claimed")
    mean, weighted = values.mean(-1), row_weighted_mean(values, rows)
    return {
        "mean": mean,
        "row_weighted_mean": weighted,
        "size_bias": mean - weighted,
        "worst_silo": worst_share(values, 0.0, scale),
        "best_silo": best_share(values, 0.0, scale),
        "worst_decile": worst_share(values, DECILE, scale),
        "best_decile": best_share(values, DECILE, scale),
        "variance": values.var(-1),
        "gini_of_error": gini(scale.error(values)),
        "jain_of_error": jain(scale.error(values)),
        "size_correlation": spearman(values, rows),
        "share_worse_than_overall": share_worse(values, weighted if overall is None else overall, scale),
        "largest_gap": largest_gap(values),
    }


def row_weighted_mean(values: arrays.Vector, rows: arrays.Vector) -> arrays.Vector:
    """Returns the mean in which every row counts once, [...]; its distance from the plain mean is the size bias."""
    return (values * rows).sum(-1) / rows.sum(-1)


def worst_share(values: arrays.Vector, share: float, scale: Scale) -> arrays.Vector:
    """Returns the mean over the worst share of the silos, [...].

    Of m = share * silos, the whole part counts with weight 1, and the next silo with the rest. The worst 10 % of 25
    silos are the two worst and half of the third. Where m < 1 it is the worst silo.

    Source: the worst 10 % of Li et al., ICLR 2020, arXiv 1905.10497, Section 4; fractional weights as in the expected
    shortfall of Acerbi and Tasche, Journal of Banking and Finance 26 (2002), 1487-1503, Definition 2.6.

    Args:
        values: Metric per silo, [..., silos].
        share: In [0, 1].
        scale: Which end is worst.
    """
    return _extreme_share(values, share, lowest=scale.higher_is_better)


def best_share(values: arrays.Vector, share: float, scale: Scale) -> arrays.Vector:
    """Returns the mean over the best share of the silos, [...]; shares are those of `worst_share`."""
    return _extreme_share(values, share, lowest=not scale.higher_is_better)


def gini(errors: arrays.Vector) -> arrays.Vector:
    """Returns Gini's coefficient, [...]: 0 if all silos have the same error, to 1 - 1 / silos if one has all of it.

    Source: sum over pairs |e_i - e_j| / (2 silos^2 mean), from the sorted errors as Sen, On Economic Inequality (1973),
    chapter 2, writes it. No error at all is equality.

    Args:
        errors: At least 0, [..., silos].
    """
    silos = errors.shape[-1]
    weights = 2 * np.arange(1, silos + 1) - silos - 1
    total = errors.sum(-1)
    spread = np.sort(errors, axis=-1) @ weights / silos
    return np.where(total == 0, 0.0, np.divide(spread, total, out=np.full_like(total, np.nan), where=total != 0))


def jain(errors: arrays.Vector) -> arrays.Vector:
    """Returns Jain's index, [...]: 1 if all silos have the same error, to 1 / silos if one has all of it.

    Source: Jain, Chiu and Hawe, DEC Research Report TR-301 (1984): (sum e)^2 / (silos sum e^2). No error at all is
    equality.

    Args:
        errors: At least 0, [..., silos].
    """
    squares = errors.shape[-1] * (errors**2).sum(-1)
    ratio = np.divide(errors.sum(-1) ** 2, squares, out=np.full_like(squares, np.nan), where=squares != 0)
    return np.where(squares == 0, 1.0, ratio)


def spearman(values: arrays.Vector, rows: arrays.Vector) -> arrays.Vector:
    """Returns Spearman's correlation of metric and silo size, [...]; the same for size and log size.

    Source: Spearman, American Journal of Psychology 15 (1904), 72-101: Pearson's correlation of the ranks, ties at
    their mean rank. NaN if all values or all sizes are equal.
    """
    first, second = _centred_ranks(values), _centred_ranks(rows)
    scale = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    return np.divide((first * second).sum(-1), scale, out=np.full_like(scale, np.nan), where=scale > 0)


def share_worse(values: arrays.Vector, overall: npt.ArrayLike, scale: Scale) -> arrays.Vector:
    """Returns the share of silos strictly worse than the overall value, [...].

    Args:
        values: Metric per silo, [..., silos].
        overall: Metric over all rows, [...] or one number.
        scale: Which side is worse.
    """
    bound = np.asarray(overall)[..., np.newaxis]
    return (values < bound if scale.higher_is_better else values > bound).mean(-1)


def largest_gap(values: arrays.Vector) -> arrays.Vector:
    """Returns the difference between the greatest and the least value, [...]."""
    return values.max(-1) - values.min(-1)


def _extreme_share(values: arrays.Vector, share: float, lowest: bool) -> arrays.Vector:
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must be from 0 to 1")
    silos = values.shape[-1]
    counted = max(share * silos, 1.0)
    weights = np.clip(counted - np.arange(math.ceil(counted)), 0, 1) / counted
    # The last of them must be in its place, as it can count for less than the others.
    last = len(weights) - 1 if lowest else silos - len(weights)
    parted = np.partition(values, last, axis=-1)
    extreme = parted if lowest else parted[..., ::-1]
    return extreme[..., : len(weights)] @ weights


def _centred_ranks(values: arrays.Vector) -> arrays.Vector:
    # scipy.stats.rankdata gives the same, but takes twice the time, which here is most of a bootstrap's.
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    first = np.ones(ordered.shape, np.bool_)
    first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    starts = np.flatnonzero(first)
    sizes = np.diff(starts, append=first.size)
    # Places count on from vector to vector.
    places = np.repeat(starts + (sizes - 1) / 2, sizes).reshape(ordered.shape)
    ranks = np.empty_like(places)
    np.put_along_axis(ranks, order, places - places.mean(-1, keepdims=True), axis=-1)
    return ranks
