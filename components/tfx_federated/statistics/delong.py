"""AUC and its variance for all silos at once, from rows or from histograms of scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfx_federated.statistics import arrays
from tfx_federated.statistics.effective_rows import effective_rows


@dataclass(frozen=True)
class Areas:
    """AUC per silo, [silos] each.

    Attributes:
        value: AUC, ties counted half; NaN without a row of each class.
        variance: DeLong's variance of it; NaN below two effective rows of each class.
        positives: Effective rows with label 1; without example weights the rows.
        negatives: Effective rows with label 0.
    """

    value: arrays.Vector
    variance: arrays.Vector
    positives: arrays.Vector
    negatives: arrays.Vector


@dataclass(frozen=True)
class Cells:
    """Scores of silos with their counts or weights, [cells] each.

    A cell is a row, or a bucket of a histogram. A row with label 1 has a positive of 1 and no negative, or its example
    weight in place of the 1; a row with a fractional label counts as two rows, one of each class.

    Attributes:
        silo: Index of the silo.
        positives: Rows with label 1, or the sum of their weights.
        negatives: Rows with label 0, or the sum of their weights.
        positive_squares: Sum of the squared weights of the rows with label 1; without weights their number.
        negative_squares: Sum of the squared weights of the rows with label 0.
        silos: Number of silos.
    """

    silo: arrays.IntVector
    positives: arrays.Vector
    negatives: arrays.Vector
    positive_squares: arrays.Vector
    negative_squares: arrays.Vector
    silos: int

    @classmethod
    def checked(
        cls,
        silo: npt.ArrayLike,
        positives: npt.ArrayLike,
        negatives: npt.ArrayLike,
        silos: int,
        positive_squares: npt.ArrayLike | None = None,
        negative_squares: npt.ArrayLike | None = None,
    ) -> Cells:
        """Returns checked cells; arguments and errors are those of `areas`."""
        index = np.asarray(silo, np.int64)
        columns = {
            "positives": positives,
            "negatives": negatives,
            "positive_squares": positives if positive_squares is None else positive_squares,
            "negative_squares": negatives if negative_squares is None else negative_squares,
        }
        checked = {name: arrays.counts(name, column) for name, column in columns.items()}
        arrays.require_same_length(silo=index, **checked)
        if len(index) and not 0 <= index.min() <= index.max() < silos:
            raise ValueError(f"silo holds indices from {index.min()} to {index.max()}, but there are {silos} silos")
        return cls(silo=index, silos=silos, **checked)

    def total(self, column: arrays.Vector) -> arrays.Vector:
        """Returns the sum of a column per silo, [silos]."""
        return np.bincount(self.silo, column, self.silos).astype(np.float64)

    def effective(self) -> tuple[arrays.Vector, arrays.Vector]:
        """Returns the effective rows with label 1 and with label 0 per silo, [silos] each."""
        return (
            effective_rows(self.total(self.positives), self.total(self.positive_squares)),
            effective_rows(self.total(self.negatives), self.total(self.negative_squares)),
        )

    def mean_of_positives(self, values: arrays.Vector) -> arrays.Vector:
        """Returns the mean over the rows with label 1 of values, [cells], per silo, [silos]; NaN without such rows."""
        return self._mean(values, self.positives)

    def variance_of_means(self, of_positives: arrays.Vector, of_negatives: arrays.Vector) -> arrays.Vector:
        """Returns the variance of a mean over the positives plus a mean over the negatives, per silo, [silos].

        The variance of a mean over n rows is that of the rows (divisor n - 1) over n; with weights w it is
        sum w^2 (v - mean)^2 / sum w^2, over n - 1 of the effective n.

        Args:
            of_positives: Values of the rows with label 1, [cells].
            of_negatives: Values of the rows with label 0, [cells].
        """
        positives, negatives = self.effective()
        variance = self._variance(of_positives, self.positives, self.positive_squares, positives)
        return variance + self._variance(of_negatives, self.negatives, self.negative_squares, negatives)

    def _variance(
        self, values: arrays.Vector, weights: arrays.Vector, squares: arrays.Vector, rows: arrays.Vector
    ) -> arrays.Vector:
        deviation = values - self._mean(values, weights)[self.silo]
        # Sums of weights round, and a variance of almost 0 would pass for a proof.
        deviation[np.abs(deviation) < arrays.ROUNDING] = 0
        spread = self._mean(deviation**2, squares)
        return np.divide(spread, rows - 1, out=np.full(self.silos, np.nan), where=rows >= 2)

    def _mean(self, values: arrays.Vector, weights: arrays.Vector) -> arrays.Vector:
        used = weights > 0
        with np.errstate(invalid="ignore"):
            sums = np.bincount(self.silo[used], (weights * values)[used], self.silos)
            return sums / self.total(weights)


@dataclass(frozen=True)
class Placements:
    """Where each cell's score lies among the rows of the other class in its silo, [cells] each.

    Attributes:
        above_negatives: Share of the silo's negatives below the score, ties counted half; NaN without negatives.
        below_positives: Share of the silo's positives above the score, ties counted half; NaN without positives.
        rank: Number of distinct lower scores in the silo.
    """

    above_negatives: arrays.Vector
    below_positives: arrays.Vector
    rank: arrays.IntVector


def areas(
    silo: npt.ArrayLike,
    score: npt.ArrayLike,
    positives: npt.ArrayLike,
    negatives: npt.ArrayLike,
    silos: int,
    positive_squares: npt.ArrayLike | None = None,
    negative_squares: npt.ArrayLike | None = None,
) -> Areas:
    """Returns the AUC of every silo and its variance, in O(cells log cells).

    With buckets the result is exact for the bucketed scores, and the AUC is the trapezoidal one that TFMA and Keras
    compute from a confusion matrix per threshold.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), 837-845, Section 2 (variance from the structural
    components); computed from ranks as Sun and Xu, IEEE Signal Processing Letters 21 (2014), 1389-1393, do. Example
    weights enter both means, and the variance as in `Cells.variance_of_means`.

    Args:
        silo: Index of the cell's silo, [cells], in [0, silos).
        score: Score of the cell, [cells].
        positives: Rows with label 1 in the cell, or the sum of their weights, [cells].
        negatives: Rows with label 0 in the cell, or the sum of their weights, [cells].
        silos: Number of silos.
        positive_squares: Sum of the squared weights of the rows with label 1, [cells]; None if they have no weights.
        negative_squares: Sum of the squared weights of the rows with label 0, [cells]; None if they have no weights.

    Raises:
        ValueError: The arrays differ in length, a score is NaN or infinite, a count is negative, or an index is out of
            range.
    """
    cells = Cells.checked(silo, positives, negatives, silos, positive_squares, negative_squares)
    placed = placements(cells, score)
    value = np.clip(cells.mean_of_positives(placed.above_negatives), 0, 1)
    variance = cells.variance_of_means(placed.above_negatives, placed.below_positives)
    return Areas(value, variance, *cells.effective())


def placements(cells: Cells, score: npt.ArrayLike) -> Placements:
    """Returns the structural components V10 (`above_negatives`) and V01 (`below_positives`) of DeLong et al. (1988).

    Args:
        cells: The cells.
        score: Their scores, [cells].

    Raises:
        ValueError: The arrays differ in length, or a score is NaN or infinite.
    """
    scores = arrays.finite("score", score)
    arrays.require_same_length(silo=cells.silo, score=scores)
    order = np.lexsort((scores, cells.silo))
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(cells.silo[order]) != 0) | (np.diff(scores[order]) != 0)
    tie = np.empty(len(order), np.int64)
    tie[order] = np.cumsum(first) - 1
    silo_of_tie = cells.silo[order][first]
    silo_start = np.searchsorted(silo_of_tie, np.arange(cells.silos))
    above_negatives = _share_below(cells.negatives, tie, silo_of_tie, cells.silos)
    below_positives = 1 - _share_below(cells.positives, tie, silo_of_tie, cells.silos)
    return Placements(above_negatives[tie], below_positives[tie], tie - silo_start[cells.silo])


def _share_below(
    weights: arrays.Vector, tie: arrays.IntVector, silo_of_tie: arrays.IntVector, silos: int
) -> arrays.Vector:
    per_tie = np.bincount(tie, weights, len(silo_of_tie))
    per_silo = np.bincount(silo_of_tie, per_tie, silos)
    before_silo = np.cumsum(per_silo) - per_silo
    below = np.cumsum(per_tie) - per_tie - before_silo[silo_of_tie]
    with np.errstate(invalid="ignore"):
        return (below + per_tie / 2) / per_silo[silo_of_tie]
