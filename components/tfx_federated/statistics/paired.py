"""What a silo gains from one model over another, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from tfx_federated.statistics import arrays, delong, intervals
from tfx_federated.statistics import evidence as evidence_lib
from tfx_federated.statistics.effective_rows import effective_rows


@dataclass(frozen=True)
class Gains:
    """Gains of a candidate over a baseline, [silos] each; positive is better, for a loss too.

    Attributes:
        gain: Observed gain.
        centre: Middle of the interval: the gain, but for accuracy.
        standard_error: Of the centre.
        degrees_of_freedom: Of Student's distribution; infinite for the normal one.
        p_hurt: One-sided p-value against a gain of at least 0: small where the silo is hurt.
        p_helped: One-sided p-value against a gain of at most 0.
        evidence: Codes of `Evidence`; where it is not `ENOUGH`, the rest is NaN.
    """

    gain: arrays.Vector
    centre: arrays.Vector
    standard_error: arrays.Vector
    degrees_of_freedom: arrays.Vector
    p_hurt: arrays.Vector
    p_helped: arrays.Vector
    evidence: evidence_lib.Codes

    def claimed(self, evidence: evidence_lib.Codes) -> Gains:
        """Returns the gains of the silos with enough evidence, and NaN for the others.

        Args:
            evidence: Codes of `Evidence`, [silos].
        """
        codes = np.where(evidence != evidence_lib.Evidence.ENOUGH, evidence, self.evidence).astype(np.int8)
        numbers = {name: value for name, value in vars(self).items() if name != "evidence"}
        kept = {name: np.where(codes == evidence_lib.Evidence.ENOUGH, value, np.nan) for name, value in numbers.items()}
        return replace(self, **kept, evidence=codes)

    def p_below(self, bound: float) -> arrays.Vector:
        """Returns one-sided p-values against a gain of at least the bound: small where it is below, [silos]."""
        return _p_below(self.centre - bound, self.standard_error, self.degrees_of_freedom)

    def p_above(self, bound: float) -> arrays.Vector:
        """Returns one-sided p-values against a gain of at most the bound: small where it is above, [silos]."""
        return _p_below(bound - self.centre, self.standard_error, self.degrees_of_freedom)

    def intervals(self, confidence: float = 0.95) -> intervals.Intervals:
        """Returns two-sided confidence intervals for the gains.

        Args:
            confidence: In (0, 1).
        """
        arrays.require_probability("confidence", confidence)
        reach = stats.t.ppf((1 + confidence) / 2, self.degrees_of_freedom) * self.standard_error
        return intervals.Intervals(self.gain, self.centre - reach, self.centre + reach, self.evidence, confidence)


def of_accuracies(
    rows: npt.ArrayLike,
    only_candidate_right: npt.ArrayLike,
    only_baseline_right: npt.ArrayLike,
    weight_squares: npt.ArrayLike | None = None,
) -> Gains:
    """Returns gains in accuracy, or in any rate of rows that are right or wrong.

    Source: p-values of McNemar, Psychometrika 12 (1947), 153-157, exact: binomial on the rows on which one model alone
    is right; intervals of Bonett and Price, Journal of Educational and Behavioral Statistics 37 (2012), 479-488 (Wald
    with one added to both counts), which Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014), 2850-2875,
    recommend. Sums of example weights are scaled to the effective number of rows; such counts need not be whole, and
    the incomplete beta function takes the place of the binomial sum, as in Korn and Graubard, Survey Methodology 24
    (1998), 193-201.

    Args:
        rows: Rows per silo, or the sum of their weights, [silos]; without a row the gain is undefined.
        only_candidate_right: Rows on which the candidate alone is right, or the sum of their weights, [silos].
        only_baseline_right: Rows on which the baseline alone is right, or the sum of their weights, [silos].
        weight_squares: Sum of the squared weights of all rows, [silos]; None if rows have no weights.

    Raises:
        ValueError: The counts differ in length, are negative, or hold more such rows than rows.
    """
    rows = arrays.counts("rows", rows)
    better = arrays.counts("only_candidate_right", only_candidate_right)
    worse = arrays.counts("only_baseline_right", only_baseline_right)
    arrays.require_same_length(rows=rows, only_candidate_right=better, only_baseline_right=worse)
    too_many = better + worse > rows * (1 + arrays.ROUNDING)
    if too_many.any():
        raise ValueError(f"{np.count_nonzero(too_many)} silos differ on more rows than they have")
    gain = np.divide(better - worse, rows, out=np.full(len(rows), np.nan), where=rows > 0)
    effective = effective_rows(rows, weight_squares)
    scale = np.divide(effective, rows, out=np.zeros(len(rows)), where=rows > 0)
    better, worse = better * scale, worse * scale
    centre = (better - worse) / (effective + 2)
    spread = (better + worse + 2) / (effective + 2) - centre**2
    return _gains(
        gain,
        centre,
        np.sqrt(spread / (effective + 2)),
        np.full(len(rows), np.inf),
        # P(at most `better` of `better + worse` rows | each is better or worse with probability one half).
        special.betainc(worse, better + 1, 0.5),
        special.betainc(better, worse + 1, 0.5),
    )


def of_losses(
    rows: npt.ArrayLike,
    sums: npt.ArrayLike,
    sums_of_squares: npt.ArrayLike,
    weight_squares: npt.ArrayLike | None = None,
) -> Gains:
    """Returns gains in a mean loss: Student's paired test.

    Source: Student, Biometrika 6 (1908), 1-25, Section IX.

    Args:
        rows: Rows per silo, or the sum of their weights, [silos].
        sums: Sum over the rows of the baseline's loss less the candidate's, each times its weight, [silos].
        sums_of_squares: Sum of the squares of that difference, each times its weight, [silos].
        weight_squares: Sum of the squared weights, [silos]; None if rows have no weights.

    Raises:
        ValueError: The arrays differ in length, or hold values that are not finite.
    """
    moments = intervals.Moments.of_sums(rows, sums, sums_of_squares, weight_squares)
    # Without a difference on any row, the models are equal; equal differences prove nothing.
    certain = arrays.vector("sums_of_squares", sums_of_squares) == 0
    return _symmetric(moments.mean, moments.standard_error, moments.degrees_of_freedom, certain)


def of_areas(
    silo: npt.ArrayLike,
    candidate_score: npt.ArrayLike,
    baseline_score: npt.ArrayLike,
    positives: npt.ArrayLike,
    negatives: npt.ArrayLike,
    silos: int,
    positive_squares: npt.ArrayLike | None = None,
    negative_squares: npt.ArrayLike | None = None,
) -> Gains:
    """Returns gains in AUC, from rows or from joint histograms of both models' scores.

    The variance is 0 where both models separate the classes perfectly. That is no proof of equal models, and the gain
    is undefined unless both rank the silo's cells alike.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), 837-845, Section 2 with the contrast (1, -1).

    Args:
        silo: Index of the cell's silo, [cells], in [0, silos). A cell is a row, or all rows of a silo with one pair of
            scores.
        candidate_score: Score of the cell by the candidate, or its bucket, [cells].
        baseline_score: Score of the cell by the baseline, or its bucket, [cells].
        positives: Rows with label 1 in the cell, or the sum of their weights, [cells].
        negatives: Rows with label 0 in the cell, or the sum of their weights, [cells].
        silos: Number of silos.
        positive_squares: Sum of the squared weights of the rows with label 1, [cells]; None if they have no weights.
        negative_squares: Sum of the squared weights of the rows with label 0, [cells]; None if they have no weights.

    Raises:
        ValueError: The arrays differ in length, a score is NaN or infinite, a count is negative, or an index is out of
            range.
    """
    cells = delong.Cells.checked(silo, positives, negatives, silos, positive_squares, negative_squares)
    candidate, baseline = (delong.placements(cells, score) for score in (candidate_score, baseline_score))
    of_positives = candidate.above_negatives - baseline.above_negatives
    of_negatives = candidate.below_positives - baseline.below_positives
    gain = cells.mean_of_positives(of_positives)
    variance = cells.variance_of_means(of_positives, of_negatives)
    ranked_apart = np.bincount(cells.silo, candidate.rank != baseline.rank, silos) > 0
    return _symmetric(gain, np.sqrt(variance), np.full(silos, np.inf), certain=~ranked_apart)


def of_standard_errors(gain: npt.ArrayLike, standard_error: npt.ArrayLike) -> Gains:
    """Returns gains whose standard errors are known from elsewhere, such as a bootstrap; taken as normal.

    Args:
        gain: [silos]; NaN where undefined.
        standard_error: [silos]; 0 where all rows agree, which proves nothing.
    """
    gain = arrays.vector("gain", gain)
    error = arrays.vector("standard_error", standard_error)
    return _symmetric(gain, error, np.full(len(gain), np.inf), certain=gain == 0)


def _symmetric(
    gain: arrays.Vector, error: arrays.Vector, degrees_of_freedom: arrays.Vector, certain: arrays.Mask
) -> Gains:
    # An error of 0 is that of equal models, or of too few rows to have any.
    error = np.where((error == 0) & ~certain, np.nan, error)
    p_hurt, p_helped = (_p_below(part, error, degrees_of_freedom) for part in (gain, -gain))
    return _gains(gain, gain, error, degrees_of_freedom, p_hurt, p_helped)


def _p_below(difference: arrays.Vector, error: arrays.Vector, degrees_of_freedom: arrays.Vector) -> arrays.Vector:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where((difference == 0) & (error == 0), np.inf, difference / error)
    return stats.t.cdf(ratio, degrees_of_freedom)


def _gains(
    gain: arrays.Vector,
    centre: arrays.Vector,
    error: arrays.Vector,
    degrees_of_freedom: arrays.Vector,
    p_hurt: arrays.Vector,
    p_helped: arrays.Vector,
) -> Gains:
    defined = np.isfinite(gain) & np.isfinite(error)
    codes = np.where(defined, evidence_lib.Evidence.ENOUGH, evidence_lib.Evidence.UNDEFINED).astype(np.int8)
    return Gains(gain, centre, error, degrees_of_freedom, p_hurt, p_helped, codes).claimed(codes)
