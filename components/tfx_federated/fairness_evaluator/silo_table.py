"""What an evaluation found for every silo: vectors with one entry per published silo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tfx_federated.statistics import arrays, bootstrap, dispersion, intervals, paired, shrinkage
from tfx_federated.statistics import evidence as evidence_lib

CANDIDATE = "candidate"


@dataclass(frozen=True)
class Overall:
    """What was measured over all rows, those without a silo included.

    Attributes:
        rows: Number of rows.
        positives: Number of rows with label 1, or None if labels are not all 0 or 1.
        values: Metric by model (`candidate`, `baseline`, ...); NaN where undefined.
        lower: Lower confidence bound of the candidate's metric; NaN where there is none.
        upper: Upper confidence bound.
    """

    rows: int
    positives: int | None
    values: Mapping[str, float]
    lower: float
    upper: float


@dataclass(frozen=True)
class SiloTable:
    """Overall and per-silo results of one metric.

    Attributes:
        metric: Name of the judged metric, as TFMA names it.
        scale: What its values mean, and which end is good.
        names: Published silos, sorted; the pool of those below the privacy minimum, if there is one, is the last.
        pooled: Number of silos in the pool, 0 without one.
        rows: Rows per silo, [silos].
        positives: Rows with label 1 per silo, [silos], or None if labels are not all 0 or 1.
        values: By model, its metric per silo as TFMA has it, [silos]; NaN where undefined. Given for every silo,
            however few its rows.
        intervals: Of the candidate's metric, with the evidence; NaN where the rows are too few for a claim.
        gains: By compared model, the candidate's gain over it on the same rows; where the rows are too few for a claim
            its evidence says so, and the rest is NaN.
        overall: The same over all rows.
        across_silos: Statistics over the silos with enough evidence by name, as `dispersion.summary` names them; empty
            if there is no such silo.
        worst: The worst silo's value with the luck of few rows taken out, or None if no silo has enough evidence.
    """

    metric: str
    scale: dispersion.Scale
    names: tuple[str, ...]
    pooled: int
    rows: arrays.IntVector
    positives: arrays.IntVector | None
    values: Mapping[str, arrays.Vector]
    intervals: intervals.Intervals
    gains: Mapping[str, paired.Gains]
    overall: Overall
    across_silos: Mapping[str, bootstrap.Estimate]
    worst: shrinkage.Worst | None

    @property
    def rows_without_silo(self) -> int:
        """Number of rows that count in the overall metrics only."""
        return self.overall.rows - int(self.rows.sum())

    @property
    def claimed(self) -> arrays.Mask:
        """Whether the silo has enough evidence for a claim about its metric, [silos]."""
        return self.intervals.evidence == evidence_lib.Evidence.ENOUGH
