"""Whether silos get in proportion to what they give, and how unequal contributions and benefits are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tfx_federated.contribution_evaluator.shapley import Vector
from tfx_federated.statistics import dispersion

# Fisher's interval of a correlation needs four pairs.
_LEAST_SILOS = 4


@dataclass(frozen=True)
class Balance:
    """Correlation of contribution and benefit over silos.

    Attributes:
        silos: Silos with both, at least four.
        pearson: Collaborative fairness of Lyu, Xu and Wang, "Collaborative fairness in federated learning" (CFFL),
            arXiv 2008.12161, section 3; there the benefit is the accuracy of the silo's model.
        pearson_lower: Lower end of Fisher's interval.
        pearson_upper: Upper end.
        spearman: Correlation of the ranks.
        p_value: Two-sided, of the rank correlation against none.
    """

    silos: int
    pearson: float
    pearson_lower: float
    pearson_upper: float
    spearman: float
    p_value: float


def of_silos(contribution: Vector, benefit: Vector, confidence: float) -> Balance | None:
    """Returns the balance, or None where fewer than four silos have both, or all have the same.

    Args:
        contribution: What each silo gave, [silos]; NaN where it is not known.
        benefit: What each silo got, [silos]; NaN where it is not known.
        confidence: Of the interval, in (0, 1).
    """
    known = np.isfinite(contribution) & np.isfinite(benefit)
    gave, got = contribution[known], benefit[known]
    if len(gave) < _LEAST_SILOS or np.ptp(gave) == 0 or np.ptp(got) == 0:
        return None
    pearson, spearman = stats.pearsonr(gave, got), stats.spearmanr(gave, got)
    interval = pearson.confidence_interval(confidence)
    return Balance(
        silos=len(gave),
        pearson=float(pearson.statistic),
        pearson_lower=float(interval.low),
        pearson_upper=float(interval.high),
        spearman=float(spearman.statistic),
        p_value=float(spearman.pvalue),
    )


@dataclass(frozen=True)
class Concentration:
    """How few silos hold a total. Silos with less than nothing count as nothing; NaN where no silo has anything.

    Attributes:
        share_of_largest: Share of the silo that has most, in (0, 1].
        silos_for_half: Fewest silos that together have half of it; 0 where no silo has anything.
        gini: Gini's coefficient, 0 if all have the same.
        jain: Jain's index, 1 if all have the same.
    """

    share_of_largest: float
    silos_for_half: int
    gini: float
    jain: float


def concentration(values: Vector) -> Concentration:
    """Returns how few silos hold the total of some values.

    Args:
        values: [silos]; NaN where it is not known: such silos do not count.
    """
    shares = positive_shares(values)
    known = shares[np.isfinite(shares)]
    if not len(known):
        return Concentration(math.nan, 0, math.nan, math.nan)
    held = np.cumsum(np.sort(known)[::-1])
    return Concentration(
        share_of_largest=float(known.max()),
        # Shares that sum to a half up to rounding are a half.
        silos_for_half=int(np.searchsorted(held, 0.5 - 1e-12)) + 1,
        gini=float(dispersion.gini(known)),
        jain=float(dispersion.jain(known)),
    )


def positive_shares(values: Vector) -> Vector:
    """Returns each silo's share of the sum of what is above 0, [silos]; 0 below, NaN where it is not known.

    Args:
        values: [silos]. Where no value is above 0, all shares are NaN.
    """
    positive = np.maximum(values, 0)
    total = np.nansum(positive)
    return positive / total if total > 0 else np.full(len(positive), np.nan)
