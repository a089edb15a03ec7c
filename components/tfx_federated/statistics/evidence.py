"""Whether a silo has enough rows for anything to be claimed about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfx_federated.statistics import arrays

Codes = npt.NDArray[np.int8]


class Evidence(enum.IntEnum):
    """Why something is claimed about a silo, or is not; vectors hold the codes as int8."""

    ENOUGH = 0
    TOO_FEW_ROWS = 1
    TOO_FEW_POSITIVES = 2
    TOO_FEW_NEGATIVES = 3
    UNDEFINED = 4


@dataclass(frozen=True)
class Minimums:
    """The least counts of a silo for which something is claimed.

    No theorem gives them. Wilson's interval holds its confidence from the first row on, and only gets wide; the
    intervals of AUCs and means are approximations that need some rows of each class.

    Attributes:
        rows: Rows, at least 1.
        positives: Rows with label 1, at least 2: a variance needs two.
        negatives: Rows with label 0, at least 2.
    """

    rows: int = 50
    positives: int = 10
    negatives: int = 10

    def __post_init__(self) -> None:
        for name, least in (("rows", 1), ("positives", 2), ("negatives", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"the minimum of {name} is {getattr(self, name)}; it must be at least {least}")


def of_rows(rows: npt.ArrayLike, minimums: Minimums) -> Codes:
    """Returns the evidence for a metric that is defined for any labels, per silo.

    Args:
        rows: Rows per silo, [silos].
        minimums: What a claim needs.
    """
    return np.where(arrays.counts("rows", rows) < minimums.rows, Evidence.TOO_FEW_ROWS, Evidence.ENOUGH).astype(np.int8)


def of_classes(positives: npt.ArrayLike, negatives: npt.ArrayLike, minimums: Minimums) -> Codes:
    """Returns the evidence for a metric that compares positive with negative rows, such as AUC, per silo.

    Args:
        positives: Rows with label 1 per silo, [silos].
        negatives: Rows with label 0 per silo, [silos].
        minimums: What a claim needs. Where several counts are too low, the first of rows, positives and negatives is
            named.
    """
    positives, negatives = arrays.counts("positives", positives), arrays.counts("negatives", negatives)
    arrays.require_same_length(positives=positives, negatives=negatives)
    codes = of_rows(positives + negatives, minimums)
    codes[(codes == Evidence.ENOUGH) & (positives < minimums.positives)] = Evidence.TOO_FEW_POSITIVES
    codes[(codes == Evidence.ENOUGH) & (negatives < minimums.negatives)] = Evidence.TOO_FEW_NEGATIVES
    return codes
