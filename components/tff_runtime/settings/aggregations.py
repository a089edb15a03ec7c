"""How the silos' updates become one. Clipping and zeroing go around another aggregation: `Clipping(Median(), ...)`."""

from __future__ import annotations

import dataclasses
import math

from tff_runtime.settings import encoding


@dataclasses.dataclass(frozen=True)
class Mean:
    """The mean by the silos' weights."""


@dataclasses.dataclass(frozen=True)
class Median:
    """The median of each coordinate (Yin et al., arXiv 1803.01498, definition 1). Every silo counts the same."""


@dataclasses.dataclass(frozen=True)
class TrimmedMean:
    """The mean of each coordinate without its extremes (Yin et al., arXiv 1803.01498, definition 2), silos alike.

    Attributes:
        fraction: Share of the silos left out at either end, in [0, 0.5).
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 <= self.fraction < 0.5, self, "fraction", "at least 0 and below 0.5")


@dataclasses.dataclass(frozen=True)
class GeometricMedian:
    """The geometric median by the silos' weights (RFA: Pillutla et al., arXiv 1912.13445, algorithm 2).

    It starts at the median of each coordinate, so that few steps do.

    Attributes:
        iterations: Steps of the smoothed Weiszfeld algorithm, at least 1; the paper takes 3.
        smoothing: The paper's nu, positive: the smallest distance that is divided by.
    """

    iterations: int = 3
    smoothing: float = 1e-6

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(self.iterations >= 1, self, "iterations", "at least 1")
        encoding.require(0 < self.smoothing < math.inf, self, "smoothing", "positive and finite")


@dataclasses.dataclass(frozen=True)
class MultiKrum:
    """The mean of the updates nearest to their neighbours (Blanchard et al., NeurIPS 2017, section 4), silos alike.

    Attributes:
        byzantine: The paper's f: how many silos may send anything, at least 0; needs more than 2 f + 2 silos a round.
        selected: The paper's m: how many updates are averaged, at least 1 (1 is Krum) and at most all but `byzantine`,
            which None stands for.
    """

    byzantine: int
    selected: int | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(self.byzantine >= 0, self, "byzantine", "at least 0")
        encoding.require(self.selected is None or self.selected >= 1, self, "selected", "at least 1")


@dataclasses.dataclass(frozen=True)
class Clipping:
    """Scales an update down to a norm that follows a quantile of the norms (Andrew et al., arXiv 1905.03871).

    Attributes:
        inner: The aggregation of the clipped updates.
        quantile: The quantile of the updates' norms that the clipping norm follows, in (0, 1).
        initial_norm: The clipping norm of the first round, positive.
        learning_rate: Learning rate of the clipping norm, from 0 (it never changes).
    """

    inner: Mean | Median | TrimmedMean | GeometricMedian | MultiKrum = Mean()
    quantile: float = 0.8
    initial_norm: float = 1.0
    learning_rate: float = 0.2

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(0 < self.quantile < 1, self, "quantile", "between 0 and 1")
        encoding.require(0 < self.initial_norm < math.inf, self, "initial_norm", "positive and finite")
        encoding.require(0 <= self.learning_rate < math.inf, self, "learning_rate", "at least 0 and finite")


@dataclasses.dataclass(frozen=True)
class Zeroing:
    """Sets an update to zero whose largest coordinate is far beyond the others' (TFF's `zeroing_factory`); it counts.

    Attributes:
        inner: The aggregation of the rest.
        quantile: The quantile of the updates' largest coordinates that the threshold follows, in (0, 1).
        multiplier: How many times that quantile an update may have, at least 1.
        initial_threshold: The threshold's quantile estimate of the first round, positive.
        learning_rate: Learning rate of the estimate, positive.
    """

    inner: Mean | Median | TrimmedMean | GeometricMedian | MultiKrum | Clipping = Mean()
    quantile: float = 0.98
    multiplier: float = 2.0
    initial_threshold: float = 10.0
    learning_rate: float = 2.302585092994046

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(0 < self.quantile < 1, self, "quantile", "between 0 and 1")
        encoding.require(1 <= self.multiplier < math.inf, self, "multiplier", "at least 1 and finite")
        encoding.require(0 < self.initial_threshold < math.inf, self, "initial_threshold", "positive and finite")
        encoding.require(0 < self.learning_rate < math.inf, self, "learning_rate", "positive and finite")


ALTERNATIVES = (Mean, Median, TrimmedMean, GeometricMedian, MultiKrum, Clipping, Zeroing)
