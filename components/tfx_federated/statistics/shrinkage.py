"""What silos' true values are once the luck of few rows is taken out: a normal hierarchical model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from tfx_federated.statistics import arrays

# Silos times draws that are held at once: 8 MiB an array.
_BLOCK = 2**20

# Points of the grid on which the standard deviation between silos is drawn, and how often the grid is narrowed: from
# ten observed deviations to what 100,000 silos leave open.
_GRID = 64
_NARROWINGS = 4

# Logarithm of how much less likely than the likeliest what lies outside of the grid is.
_UNLIKELY = 12.0

# Below three silos their variance has no proper posterior.
_FEWEST = 3

# In place of 0, for which a weight would be infinite, and of infinity, for which it would be 0.
_NO_VARIANCE = 1e-300
_ANY_VARIANCE = 1e300


@dataclass(frozen=True)
class Worst:
    """The true value of the worst silo, whichever it is.

    Attributes:
        value: Posterior mean.
        lower: Lower end of the credible interval.
        upper: Upper end of the credible interval.
    """

    value: float
    lower: float
    upper: float


def spread_values(values: npt.ArrayLike, standard_errors: npt.ArrayLike) -> arrays.Vector:
    """Returns the values moved to their mean until together they spread as the true ones do, [silos].

    Observed values spread too much, and posterior means too little.

    Source: by the square root of the factor that gives posterior means, as Louis, JASA 79 (1984), 393-398, has it for
    equal variances; the variance between silos is that of `paule_mandel`.

    Args:
        values: Metric per silo, [silos].
        standard_errors: Of each value, at least 0, [silos]. For a 0, which few equal rows give, the least positive one
            is taken; if there is none, values have no noise and stay as they are. `Intervals.standard_error` gives some
            that are never 0.

    Raises:
        ValueError: There is no silo, a value is not finite, or a standard error is negative.
    """
    values, variances = _checked(values, standard_errors)
    between = paule_mandel(values, standard_errors)
    weights = 1 / np.maximum(variances + between, _NO_VARIANCE)
    mean = (weights * values).sum() / weights.sum()
    return mean + np.sqrt(between * weights) * (values - mean)


def paule_mandel(values: npt.ArrayLike, standard_errors: npt.ArrayLike) -> float:
    """Returns the variance of the true values over silos, at least 0.

    It is where the weighted sum of squares around the weighted mean equals its expectation, silos - 1.

    Source: Paule and Mandel, Journal of Research of the National Bureau of Standards 87 (1982), 377-385; recommended by
    Veroniki et al., Research Synthesis Methods 7 (2016), 55-79.

    Args and errors are those of `spread_values`.
    """
    values, variances = _checked(values, standard_errors)
    silos = len(values)
    if not variances.any():
        return float(values.var(ddof=1)) if silos > 1 else 0.0

    def excess(between: float) -> float:
        weights = 1 / (variances + between)
        mean = (weights * values).sum() / weights.sum()
        return float((weights * (values - mean) ** 2).sum() - (silos - 1))

    if silos == 1 or excess(0.0) <= 0:
        return 0.0
    # The weighted mean gives the least sum, and no weight is above 1 / high: the sum is at most half of silos - 1.
    high = float(2 * ((values - values.mean()) ** 2).sum() / (silos - 1))
    return float(optimize.brentq(excess, 0.0, high, xtol=1e-12 * high))


def worst_silo(
    values: npt.ArrayLike,
    standard_errors: npt.ArrayLike,
    higher_is_better: bool = True,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Worst:
    """Returns the worst silo's true value with its credible interval.

    The least observed value is biased low, as the unluckiest silo is picked; the least posterior mean is biased high,
    as posterior means spread too little (Louis 1984). The worst of values drawn from the joint posterior has neither
    fault as long as the model holds.

    Args:
        values: Metric per silo, [silos].
        standard_errors: As for `spread_values`.
        higher_is_better: False for a loss.
        confidence: In (0, 1).
        draws: Number of draws from the posterior.
        seed: Of the random numbers.

    Raises:
        ValueError: There is no silo, a value is not finite, or an argument is out of its range.
    """
    arrays.require_probability("confidence", confidence)
    blocks = posterior(values, standard_errors, draws, seed)
    worst = np.concatenate([block.min(-1) if higher_is_better else block.max(-1) for block in blocks])
    lower, upper = np.quantile(worst, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Worst(float(worst.mean()), float(lower), float(upper))


def posterior(
    values: npt.ArrayLike, standard_errors: npt.ArrayLike, draws: int = 1000, seed: int = 0
) -> Iterator[arrays.Vector]:
    """Yields draws of all silos' true values together, [draws, silos], in blocks of draws.

    True values are normal around a common mean, and observed values normal around them. Mean and standard deviation of
    the true values are drawn too, from flat priors, so that their uncertainty is in the result. Below three silos
    nothing is known of that deviation, and true values are drawn around the observed ones.

    Source: Gelman et al., Bayesian Data Analysis, third edition (2013), Section 5.4, Equation 5.21.

    Args:
        values: Metric per silo, [silos].
        standard_errors: As for `spread_values`.
        draws: Number of draws.
        seed: Of the random numbers.

    Raises:
        ValueError: There is no silo, a value is not finite, or an argument is out of its range.
    """
    values, variances = _checked(values, standard_errors)
    if draws < 1:
        raise ValueError(f"draws is {draws}; it must be at least 1")
    generator = np.random.default_rng(seed)
    silos = len(values)
    grid, chances = _between_variances(values, variances)
    block = max(1, _BLOCK // silos)
    for first in range(0, draws, block):
        shape = (min(block, draws - first), silos)
        between = generator.choice(grid, size=(shape[0], 1), p=chances)
        weights = 1 / (variances + between)
        total = weights.sum(-1, keepdims=True)
        mean = (weights @ values)[:, np.newaxis] / total + generator.standard_normal(total.shape) / np.sqrt(total)
        kept = between * weights
        yield values + (1 - kept) * (mean - values) + np.sqrt(kept * variances) * generator.standard_normal(shape)


def _between_variances(values: arrays.Vector, variances: arrays.Vector) -> tuple[arrays.Vector, arrays.Vector]:
    """Returns variances between silos and their posterior probabilities."""
    if len(values) < _FEWEST or not variances.any():
        return np.array([_ANY_VARIANCE]), np.ones(1)

    def log_posterior(deviation: float) -> float:
        weights = 1 / (variances + deviation**2)
        mean = (weights * values).sum() / weights.sum()
        squares = (weights * (values - mean) ** 2).sum()
        return float(np.log(weights).sum() - np.log(weights.sum()) - squares) / 2

    low, high = 0.0, 10 * float(np.sqrt(values.var() + variances.mean()))
    for _ in range(_NARROWINGS):
        grid = np.linspace(low, high, _GRID)
        logarithms = np.array([log_posterior(deviation) for deviation in grid])
        likely = np.flatnonzero(logarithms > logarithms.max() - _UNLIKELY)
        low, high = grid[max(likely[0] - 1, 0)], grid[min(likely[-1] + 1, _GRID - 1)]
    chances = np.exp(logarithms - logarithms.max())
    return grid**2, chances / chances.sum()


def _checked(values: npt.ArrayLike, standard_errors: npt.ArrayLike) -> tuple[arrays.Vector, arrays.Vector]:
    values, errors = arrays.finite("values", values), arrays.counts("standard_errors", standard_errors)
    arrays.require_same_length(values=values, standard_errors=errors)
    if not len(values):
        raise ValueError("values holds no silo; shrinkage needs one with enough rows")
    least = errors[errors > 0].min() if errors.any() else 0.0
    return values, np.maximum(errors, least) ** 2
