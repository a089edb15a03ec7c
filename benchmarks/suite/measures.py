"""What a model is worth to each silo, and how that spreads over silos: by the FairnessEvaluator's own statistics."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.data import tables
from benchmarks.suite.data import populations
from tfx_federated.statistics import (
    benefit,
    bootstrap,
    delong,
    dispersion,
    evidence,
    intervals,
    paired,
)

MINIMUMS = evidence.Minimums()
# AUC over all rows is near that of the silos; these are about silos, each of which counts once.
STATISTICS = (
    "mean",
    "row_weighted_mean",
    "worst_silo",
    "worst_decile",
    "largest_gap",
    "standard_deviation",
    "gini_of_error",
    "jain_of_error",
    "size_correlation",
)


@dataclasses.dataclass(frozen=True)
class TestRows:
    """The test rows of a population, one after the other.

    Attributes:
        silos: Names of the silos, [silos].
        training_rows: Rows that each silo has to train on, [silos].
        rows: Test rows of each, [silos].
        silo: Index of the row's silo, [rows].
        labels: 0 or 1, [rows].
    """

    silos: Sequence[str]
    training_rows: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    silo: npt.NDArray[np.int64]
    labels: tables.Matrix

    @classmethod
    def of(cls, population: populations.Population) -> TestRows:
        """Reads them off a population."""
        rows = np.array([len(silo.labels) for silo in population.test], np.int64)
        return cls(
            silos=[silo.name for silo in population.test],
            training_rows=np.array([len(silo.labels) for silo in population.training], np.int64),
            rows=rows,
            silo=np.repeat(np.arange(len(rows)), rows),
            labels=np.concatenate([silo.labels for silo in population.test]),
        )

    def of_silos(self, names: Sequence[str]) -> tables.Mask:
        """Returns which silos are named, [silos]."""
        return np.isin(self.silos, list(names))


@dataclasses.dataclass(frozen=True)
class Values:
    """A model's AUC on each silo's test rows.

    Attributes:
        areas: AUC and its variance, NaN where a silo's rows are too few to say, [silos].
        intervals: The same with bounds.
        claimed: Silos with enough test rows of each class, [silos].
        loss: Mean cross-entropy over all test rows of the silo, NaN without any, [silos].
        overall: AUC over the rows of all silos that have a prediction.
    """

    areas: delong.Areas
    intervals: intervals.Intervals
    claimed: tables.Mask
    loss: npt.NDArray[np.float64]
    overall: float


def of_silos(test: TestRows, predictions: tables.Matrix) -> Values:
    """Measures a model.

    Args:
        test: The test rows.
        predictions: Probability of label 1, NaN where a silo has no model, [rows].
    """
    known = np.isfinite(predictions)
    silo, labels, scores = test.silo[known], test.labels[known].astype(np.float64), predictions[known]
    count = len(test.silos)
    areas = delong.areas(silo, scores, labels, 1 - labels, count)
    codes = evidence.of_classes(np.bincount(silo, labels, count), np.bincount(silo, 1 - labels, count), MINIMUMS)
    claimed = intervals.of_areas(areas).claimed(codes)
    chances = np.clip(np.where(labels > 0, scores, 1 - scores).astype(np.float64), 1e-7, 1)
    with np.errstate(invalid="ignore"):
        loss = np.bincount(silo, -np.log(chances), count) / np.bincount(silo, minlength=count)
    whole = delong.areas(np.zeros(len(silo), np.int64), scores, labels, 1 - labels, 1)
    return Values(areas, claimed, np.isfinite(claimed.estimate), loss, float(whole.value[0]))


def across_silos(
    test: TestRows, values: Values, among: tables.Mask | None = None, seed: int = 0
) -> dict[str, bootstrap.Estimate]:
    """Returns `STATISTICS` over the silos with enough test rows, each with an interval.

    Args:
        test: The test rows.
        values: Of a model.
        among: Silos that are looked at, [silos]; None for all.
        seed: Of the bootstrap.

    Raises:
        ValueError: No silo has enough test rows.
    """
    kept = values.claimed if among is None else values.claimed & among
    if not kept.any():
        raise ValueError("no silo has enough test rows of each class; take more evaluation rows")
    areas = delong.Areas(*(getattr(values.areas, field.name)[kept] for field in dataclasses.fields(delong.Areas)))
    found = dict(
        bootstrap.estimates(bootstrap.Areas(areas), test.rows[kept], dispersion.Scale(), values.overall, seed=seed)
    )
    variance = found["variance"]
    found["standard_deviation"] = bootstrap.Estimate(*(math.sqrt(value) for value in dataclasses.astuple(variance)))
    return {name: found[name] for name in STATISTICS}


def gains(test: TestRows, candidate: tables.Matrix, baseline: tables.Matrix) -> paired.Gains:
    """Returns what each silo gains in AUC on the same rows, by DeLong's paired test; NaN where nothing is claimed.

    Args:
        test: The test rows.
        candidate: Predictions of the one model, NaN where a silo has none, [rows].
        baseline: Of the other.
    """
    known = np.isfinite(candidate) & np.isfinite(baseline)
    silo, labels, count = test.silo[known], test.labels[known].astype(np.float64), len(test.silos)
    codes = evidence.of_classes(np.bincount(silo, labels, count), np.bincount(silo, 1 - labels, count), MINIMUMS)
    return paired.of_areas(silo, candidate[known], baseline[known], labels, 1 - labels, count).claimed(codes)


def mean_gain(found: paired.Gains, among: tables.Mask | None = None) -> benefit.Benefit:
    """Sums the gains of silos up; those about which nothing is claimed are left out.

    Args:
        found: Of every silo.
        among: Silos that are looked at, [silos]; None for all.
    """
    kept = np.isfinite(found.gain) if among is None else np.isfinite(found.gain) & among
    fields: Mapping[str, npt.NDArray] = vars(found)
    return benefit.of_gains(paired.Gains(**{name: value[kept] for name, value in fields.items()}))
