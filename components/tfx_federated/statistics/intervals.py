"""Confidence intervals per silo, of kinds that hold for small silos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from tfx_federated.statistics import arrays, delong
from tfx_federated.statistics import evidence as evidence_lib
from tfx_federated.statistics.effective_rows import effective_rows

# Halves the unit interval to the last bit of a double.
_BISECTIONS = 60

# Relative error of the difference of two sums of squares.
_CANCELLATION = 1e-13


@dataclass(frozen=True)
class Intervals:
    """Two-sided confidence intervals, [silos] each.

    Attributes:
        estimate: The observed values; NaN where nothing is claimed.
        lower: Lower bounds; NaN where nothing is claimed.
        upper: Upper bounds; NaN where nothing is claimed.
        evidence: Codes of `Evidence`: why something is claimed, or is not.
        confidence: Share of intervals that hold the true value, in (0, 1).
    """

    estimate: arrays.Vector
    lower: arrays.Vector
    upper: arrays.Vector
    evidence: evidence_lib.Codes
    confidence: float

    def claimed(self, evidence: evidence_lib.Codes) -> Intervals:
        """Returns the intervals of the silos with enough evidence, and NaN for the others.

        Args:
            evidence: Codes of `Evidence`, [silos].
        """
        codes = np.where(evidence != evidence_lib.Evidence.ENOUGH, evidence, self.evidence).astype(np.int8)
        claimed = codes == evidence_lib.Evidence.ENOUGH
        estimate, lower, upper = (np.where(claimed, part, np.nan) for part in (self.estimate, self.lower, self.upper))
        return Intervals(estimate, lower, upper, codes, self.confidence)

    def standard_error(self) -> arrays.Vector:
        """Returns the standard error that the width implies, [silos].

        Unlike the plain standard error it is never 0 for a rate of 0 or 1 or a perfect AUC.

        Source: Cochrane Handbook for Systematic Reviews of Interventions, version 6, Section 6.3.1.
        """
        return (self.upper - self.lower) / (2 * normal_quantile(self.confidence))


def normal_quantile(confidence: float) -> float:
    """Returns how many standard errors a two-sided normal interval reaches to each side.

    Raises:
        ValueError: The confidence is not between 0 and 1.
    """
    arrays.require_probability("confidence", confidence)
    return float(special.ndtri((1 + confidence) / 2))


def of_rates(
    successes: npt.ArrayLike,
    trials: npt.ArrayLike,
    confidence: float = 0.95,
    trial_squares: npt.ArrayLike | None = None,
) -> Intervals:
    """Returns Wilson's score intervals for rates, such as accuracy or the true positive rate.

    Source: Wilson, JASA 22 (1927), 209-212; method 3 of Newcombe, Statistics in Medicine 17 (1998), 857-872. Example
    weights enter by the effective number of trials, as in Franco et al., Journal of Survey Statistics and Methodology
    7 (2019), 334-364.

    Args:
        successes: Successes per silo, or the sum of their weights, [silos].
        trials: Trials per silo, or the sum of their weights, [silos]; without a trial the rate is undefined.
        confidence: Two-sided, in (0, 1).
        trial_squares: Sum of the squared weights of the trials, [silos]; None if they have no weights.

    Raises:
        ValueError: The counts differ in length, are negative, or hold more successes than trials.
    """
    z = normal_quantile(confidence)
    successes, trials = checked_rates(successes, trials)
    effective = effective_rows(trials, trial_squares)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = successes / trials
        centre = (effective * rate + z**2 / 2) / (effective + z**2)
        reach = z * np.sqrt(effective * rate * (1 - rate) + z**2 / 4) / (effective + z**2)
    # Rounding can leave the bound that is exactly 0 or 1 just beside the rate.
    lower, upper = np.minimum(centre - reach, rate), np.maximum(centre + reach, rate)
    return of_bounds(rate, np.maximum(lower, 0), np.minimum(upper, 1), confidence)


def of_areas(areas: delong.Areas, confidence: float = 0.95) -> Intervals:
    """Returns intervals for AUCs: DeLong's variance on the logit scale.

    That variance is 0 where the classes are perfectly separated or all scores are equal, however few the rows. There
    the interval is that of Newcombe's method 5, which needs the AUC and the counts only.

    Source: Pepe, The Statistical Evaluation of Medical Tests for Classification and Prediction (2003), Section 5.2
    (logit); Newcombe, Statistics in Medicine 25 (2006), 559-573, method 5.

    Args:
        areas: AUCs with their variances.
        confidence: Two-sided, in (0, 1).
    """
    z = normal_quantile(confidence)
    flat = areas.variance == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = special.logit(areas.value)
        reach = z * np.sqrt(areas.variance) / (areas.value * (1 - areas.value))
        lower, upper = special.expit(centre - reach), special.expit(centre + reach)
    value, pairs = areas.value[flat], (areas.positives[flat], areas.negatives[flat])
    lower[flat] = _newcombe_lower_bound(value, *pairs, z)
    upper[flat] = 1 - _newcombe_lower_bound(1 - value, *pairs, z)
    return of_bounds(areas.value, lower, upper, confidence)


def of_means(
    rows: npt.ArrayLike,
    sums: npt.ArrayLike,
    sums_of_squares: npt.ArrayLike,
    confidence: float = 0.95,
    weight_squares: npt.ArrayLike | None = None,
) -> Intervals:
    """Returns Student's intervals for means over rows, such as a loss.

    Source: Student, Biometrika 6 (1908), 1-25. The rows of a loss are skewed, so that small silos need more than two.
    Example weights enter by the effective number of rows.

    Args:
        rows: Rows per silo, or the sum of their weights, [silos]; below two rows the interval is undefined.
        sums: Sum of the rows' values, each times its weight, [silos].
        sums_of_squares: Sum of the squared values, each times its weight, [silos].
        confidence: Two-sided, in (0, 1).
        weight_squares: Sum of the squared weights, [silos]; None if rows have no weights.

    Raises:
        ValueError: The arrays differ in length, or hold values that are not finite.
    """
    arrays.require_probability("confidence", confidence)
    moments = Moments.of_sums(rows, sums, sums_of_squares, weight_squares)
    reach = stats.t.ppf((1 + confidence) / 2, moments.degrees_of_freedom) * moments.standard_error
    return of_bounds(moments.mean, moments.mean - reach, moments.mean + reach, confidence)


@dataclass(frozen=True)
class Moments:
    """Means over rows, [silos] each.

    Attributes:
        mean: NaN without a row.
        standard_error: Of the mean; NaN below two effective rows.
        degrees_of_freedom: Of the standard error, at least 1.
    """

    mean: arrays.Vector
    standard_error: arrays.Vector
    degrees_of_freedom: arrays.Vector

    @classmethod
    def of_sums(
        cls,
        rows: npt.ArrayLike,
        sums: npt.ArrayLike,
        sums_of_squares: npt.ArrayLike,
        weight_squares: npt.ArrayLike | None = None,
    ) -> Moments:
        """Returns the means and what is known of their errors; arguments and errors are those of `of_means`."""
        weights, sums = arrays.counts("rows", rows), arrays.finite("sums", sums)
        squares = arrays.counts("sums_of_squares", sums_of_squares)
        arrays.require_same_length(rows=weights, sums=sums, sums_of_squares=squares)
        effective = effective_rows(weights, weight_squares)
        mean = np.divide(sums, weights, out=np.full(len(weights), np.nan), where=weights > 0)
        # Equal values have no spread, but the difference of two nearly equal sums rounds to a little above or below 0.
        spread = squares - sums * mean
        spread[spread <= _CANCELLATION * squares] = 0
        scale = weights * (effective - 1)
        variance = np.divide(spread, scale, out=np.full(len(weights), np.nan), where=effective >= 2)
        return cls(mean, np.sqrt(variance), np.maximum(effective - 1, 1))


def checked_rates(successes: npt.ArrayLike, trials: npt.ArrayLike) -> tuple[arrays.Vector, arrays.Vector]:
    """Returns successes and trials as vectors.

    Raises:
        ValueError: The counts differ in length, are negative, or hold more successes than trials.
    """
    successes, trials = arrays.counts("successes", successes), arrays.counts("trials", trials)
    arrays.require_same_length(successes=successes, trials=trials)
    too_many = successes > trials * (1 + arrays.ROUNDING)
    if too_many.any():
        raise ValueError(f"{np.count_nonzero(too_many)} silos have more successes than trials")
    return np.minimum(successes, trials), trials


def _newcombe_lower_bound(
    value: arrays.Vector, positives: arrays.Vector, negatives: arrays.Vector, z: float
) -> arrays.Vector:
    # The root below `value` of: value - bound = z * sqrt(variance at the bound).
    low, high = np.zeros_like(value), value.copy()
    for _ in range(_BISECTIONS):
        bound = (low + high) / 2
        too_low = value - bound > z * np.sqrt(_newcombe_variance(bound, positives, negatives))
        low, high = np.where(too_low, bound, low), np.where(too_low, high, bound)
    return low


def _newcombe_variance(area: arrays.Vector, positives: arrays.Vector, negatives: arrays.Vector) -> arrays.Vector:
    others = (positives + negatives) / 2 - 1
    correlation = others * ((1 - area) / (2 - area) + area / (1 + area))
    return area * (1 - area) * (1 + correlation) / (positives * negatives)


def of_bounds(estimate: arrays.Vector, lower: arrays.Vector, upper: arrays.Vector, confidence: float) -> Intervals:
    """Returns given bounds as intervals; those that are not finite are undefined.

    Args:
        estimate: The observed values, [silos].
        lower: [silos].
        upper: [silos].
        confidence: Two-sided, in (0, 1).
    """
    defined = np.isfinite(estimate) & np.isfinite(lower) & np.isfinite(upper)
    codes = np.where(defined, evidence_lib.Evidence.ENOUGH, evidence_lib.Evidence.UNDEFINED).astype(np.int8)
    every = Intervals(estimate, lower, upper, codes, confidence)
    return every.claimed(codes)
