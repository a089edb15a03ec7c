"""Two-level bootstrap: resample silos, then the rows of each, without touching a row."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tfx_federated.statistics import arrays, delong, dispersion, intervals, shrinkage
from tfx_federated.statistics.effective_rows import effective_rows

# Silos times replicates that are held at once: 8 MiB for each of about ten arrays.
_BLOCK = 2**20


class Silos(Protocol):
    """Per-silo sufficient statistics from which a metric can be drawn again."""

    def values(self) -> arrays.Vector:
        """Returns the observed metric, [silos]."""

    def standard_errors(self) -> arrays.Vector:
        """Returns what the limited rows add to it, [silos]."""

    def draw(
        self, true_values: arrays.Vector, chosen: arrays.IntVector, generator: np.random.Generator
    ) -> arrays.Vector:
        """Returns the metric of fresh rows.

        Args:
            true_values: What each silo's metric would be with endless rows, [silos].
            chosen: Indices of silos, of any shape; the result has this shape.
            generator: Source of random numbers.
        """


@dataclass(frozen=True)
class Rates:
    """Rates, such as accuracy or the true positive rate: fresh rows give binomial counts.

    Attributes:
        successes: Per silo, or the sum of their weights, [silos].
        trials: Per silo, or the sum of their weights, above 0, [silos].
        trial_squares: Sum of the squared weights of the trials, [silos]; None if they have no weights.
    """

    successes: arrays.Vector
    trials: arrays.Vector
    trial_squares: arrays.Vector | None = None

    def __post_init__(self) -> None:
        _, trials = intervals.checked_rates(self.successes, self.trials)
        if not trials.all():
            raise ValueError(f"{np.count_nonzero(trials == 0)} silos have no trial; leave them out")

    def values(self) -> arrays.Vector:
        """Returns the observed rates."""
        return np.minimum(self.successes / self.trials, 1)

    def standard_errors(self) -> arrays.Vector:
        """Returns those that Wilson's intervals imply."""
        return intervals.of_rates(self.successes, self.trials, trial_squares=self.trial_squares).standard_error()

    def draw(
        self, true_values: arrays.Vector, chosen: arrays.IntVector, generator: np.random.Generator
    ) -> arrays.Vector:
        """Draws successes of as many trials as the silo has, or those with weights are worth, rounded."""
        trials = np.maximum(np.rint(effective_rows(self.trials, self.trial_squares)), 1).astype(np.int64)
        # A mean of rates can round to above 1.
        rates = np.clip(true_values, 0, 1)
        return generator.binomial(trials[chosen], rates[chosen]) / trials[chosen]


@dataclass(frozen=True)
class Areas:
    """AUCs, drawn from a beta distribution with the true mean and DeLong's variance: it keeps to [0, 1].

    Attributes:
        areas: AUCs with their variances.
    """

    areas: delong.Areas

    def values(self) -> arrays.Vector:
        """Returns the observed AUCs."""
        return self.areas.value

    def standard_errors(self) -> arrays.Vector:
        """Returns those that the intervals imply, which are positive for perfect AUCs too."""
        return self._standard_errors

    def draw(
        self, true_values: arrays.Vector, chosen: arrays.IntVector, generator: np.random.Generator
    ) -> arrays.Vector:
        """Draws AUCs; a true AUC of 0 or 1 stays as it is."""
        mean = np.clip(true_values, 0, 1)
        widest = mean * (1 - mean)
        # With more than half of the widest variance on [0, 1], both ends would be likelier than what lies between.
        variance = np.minimum(self._standard_errors**2, widest / 2)
        size = np.divide(widest, variance, out=np.full_like(widest, np.inf), where=variance > 0) - 1
        inner = np.isfinite(size)
        # Any parameters do where the variance is 0.
        size, centre = np.where(inner, size, 1.0), np.where(inner, mean, 0.5)
        drawn = generator.beta((centre * size)[chosen], ((1 - centre) * size)[chosen])
        return np.where(inner[chosen], drawn, mean[chosen])

    @functools.cached_property
    def _standard_errors(self) -> arrays.Vector:
        return intervals.of_areas(self.areas).standard_error()


@dataclass(frozen=True)
class Means:
    """Means over rows, such as a loss, drawn from their normal approximation.

    Attributes:
        means: Per silo, [silos].
        errors: Standard error of each, [silos].
    """

    means: arrays.Vector
    errors: arrays.Vector

    def values(self) -> arrays.Vector:
        """Returns the observed means."""
        return self.means

    def standard_errors(self) -> arrays.Vector:
        """Returns the given standard errors."""
        return self.errors

    def draw(
        self, true_values: arrays.Vector, chosen: arrays.IntVector, generator: np.random.Generator
    ) -> arrays.Vector:
        """Draws means."""
        return generator.normal(true_values[chosen], self.errors[chosen])


Statistics = Callable[[arrays.Vector, arrays.IntVector], Mapping[str, arrays.Vector]]


@dataclass(frozen=True)
class Estimate:
    """A statistic over silos; `corrected`, `lower` and `upper` are about silos with endless rows.

    Attributes:
        observed: The statistic of the observed values.
        corrected: The observed one without what the limited rows add to it: noise alone makes silos look different.
        lower: Lower bound.
        upper: Upper bound. It is below `observed` where noise alone explains what is observed.
    """

    observed: float
    corrected: float
    lower: float
    upper: float


def estimates(
    silos: Silos,
    rows: npt.ArrayLike,
    scale: dispersion.Scale,
    overall: float | None = None,
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Mapping[str, Estimate]:
    """Returns every statistic of `dispersion.summary` with an interval for its true value.

    The intervals are approximate. In 300 simulated runs with 50 silos of 30 to 1,000 rows and true rates with standard
    deviation 0.05, at confidence 0.95, they held the silos' true value in 92 to 100 % for means, deciles, variance,
    Gini, Jain and the correlation, and in 82 to 90 % for the rest: no bootstrap is right for the least and the greatest
    of resampled silos, for which `shrinkage.worst_silo` and `parity.largest_gap` are better. Where the silos hardly
    differ (deviation 0.01, 50 to 200 rows) only those of means, variance and Jain did so; the others are too narrow,
    down to 47 % for `share_worse_than_overall`. `size_correlation` has no interval where noise explains all
    differences.

    Args:
        silos: Sufficient statistics of the silos about which something is claimed.
        rows: Their rows, or the sums of their example weights, [silos].
        scale: What the metric's values mean.
        overall: Metric over all rows, kept as it is in every replicate; the row-weighted mean if None.
        replicates: See `estimate`; one takes about 15 to 25 ms at 100,000 silos.
        confidence: Two-sided, in (0, 1).
        seed: Of the random numbers; the same seed gives the same intervals.

    Raises:
        ValueError: There is no silo, a value is NaN, or an argument is out of its range.
    """
    sizes = arrays.counts("rows", rows)
    arrays.require_same_length(rows=sizes, silos=silos.values())

    def summary(values: arrays.Vector, chosen: arrays.IntVector) -> Mapping[str, arrays.Vector]:
        return dispersion.summary(values, sizes[chosen], scale, overall)

    return estimate(silos, summary, _ranges(scale), replicates, confidence, seed)


def estimate(
    silos: Silos,
    statistics: Statistics,
    ranges: Mapping[str, tuple[float, float]],
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Mapping[str, Estimate]:
    """Returns statistics over silos with intervals for their true values.

    Observed values spread more than true ones, and rows drawn from them would add their noise a second time. So the
    rows are drawn from values shrunk until they spread as the true ones do, and the distance of each replicate from
    their statistic is the error of the observed one.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), Section 3.8 (hierarchical data:
    both levels, shrunk) and Section 5.2 (basic interval).

    Args:
        silos: Sufficient statistics of the silos about which something is claimed.
        statistics: From values and the indices of their silos, [..., silos] each, to statistics by name, [...] each.
        ranges: Least and greatest value of each statistic.
        replicates: Number of replicates; memory does not grow with them. The random error of a bound at confidence 0.95
            is 0.08 standard errors of the statistic with 1,000, and 0.19 with 200.
        confidence: Two-sided, in (0, 1).
        seed: Of the random numbers.

    Raises:
        ValueError: There is no silo, a value is NaN, or an argument is out of its range.
    """
    arrays.require_probability("confidence", confidence)
    if replicates < 1:
        raise ValueError(f"replicates is {replicates}; it must be at least 1")
    values = arrays.finite("values", silos.values())
    every = np.arange(len(values))
    true_values = shrinkage.spread_values(values, silos.standard_errors())
    observed, truth = statistics(values, every), statistics(true_values, every)
    generator = np.random.default_rng(seed)
    blocks = [
        statistics(silos.draw(true_values, chosen, generator), chosen)
        for chosen in _choices(len(values), replicates, generator)
    ]
    return {
        name: _estimate(
            float(value), np.concatenate([block[name] for block in blocks]) - truth[name], confidence, ranges[name]
        )
        for name, value in observed.items()
    }


def _choices(silos: int, replicates: int, generator: np.random.Generator) -> Iterator[arrays.IntVector]:
    block = max(1, _BLOCK // silos)
    for first in range(0, replicates, block):
        yield generator.integers(silos, size=(min(block, replicates - first), silos))


def _estimate(observed: float, errors: arrays.Vector, confidence: float, bounds: tuple[float, float]) -> Estimate:
    # Resampled silos can all be of one size, which leaves the correlation with size undefined.
    defined = errors[np.isfinite(errors)]
    if not len(defined) or not np.isfinite(observed):
        return Estimate(observed, np.nan, np.nan, np.nan)
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    corrected, lower, upper = np.clip([observed - defined.mean(), observed - high, observed - low], *bounds)
    return Estimate(observed, float(corrected), float(lower), float(upper))


def _ranges(scale: dispersion.Scale) -> Mapping[str, tuple[float, float]]:
    metric, width = (scale.lower, scale.upper), scale.upper - scale.lower
    return {
        "mean": metric,
        "row_weighted_mean": metric,
        "size_bias": (-width, width),
        "worst_silo": metric,
        "best_silo": metric,
        "worst_decile": metric,
        "best_decile": metric,
        "variance": (0.0, width**2 / 4),
        "gini_of_error": (0.0, 1.0),
        "jain_of_error": (0.0, 1.0),
        "size_correlation": (-1.0, 1.0),
        "share_worse_than_overall": (0.0, 1.0),
        "largest_gap": (0.0, width),
    }
