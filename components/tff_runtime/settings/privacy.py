"""Who is protected by differential privacy, and how strongly."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from tff_runtime.settings import encoding


@dataclasses.dataclass(frozen=True)
class NoPrivacy:
    """No noise: whoever sees the model may learn of single rows."""


@dataclasses.dataclass(frozen=True)
class RecordLevel:
    """Every row of every silo is protected: DP-SGD inside the silos (Abadi et al., arXiv 1607.00133, algorithm 1).

    Each silo draws its own Poisson batches, clips each row's gradient and adds noise before anything leaves it
    (silo-specific record-level DP: Liu et al., arXiv 2206.07902). The noise is chosen so that the silo has spent its
    epsilon after the last round.

    Attributes:
        epsilon: The epsilon of a silo for the whole training, positive.
        delta: The delta that belongs to it, in (0, 1); below 1 / rows of the largest silo.
        clip_norm: Largest norm of a row's gradient, positive.
        epsilon_of_silo: Another epsilon for some silos, by silo.
    """

    epsilon: float
    delta: float
    clip_norm: float = 1.0
    epsilon_of_silo: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(0 < self.epsilon < math.inf, self, "epsilon", "positive and finite")
        encoding.require(0 < self.delta < 1, self, "delta", "between 0 and 1")
        encoding.require(0 < self.clip_norm < math.inf, self, "clip_norm", "positive and finite")
        all_positive = all(0 < value < math.inf for value in self.epsilon_of_silo.values())
        encoding.require(all_positive, self, "epsilon_of_silo", "a mapping of silo to a positive number")


@dataclasses.dataclass(frozen=True)
class SiloLevel:
    """Every silo as a whole is protected: clipped updates, noise on their sum (McMahan et al., arXiv 1710.06963).

    Attributes:
        epsilon: The epsilon for the whole training, positive.
        delta: The delta that belongs to it, in (0, 1); below 1 / number of silos.
        clip_norm: Largest norm of a silo's update, positive; the first one, if it adapts.
        adaptive_quantile: The quantile of the norms that the clipping norm follows (Andrew et al., arXiv 1905.03871),
            in (0, 1); None for a fixed norm.
    """

    epsilon: float
    delta: float
    clip_norm: float = 1.0
    adaptive_quantile: float | None = 0.5

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(0 < self.epsilon < math.inf, self, "epsilon", "positive and finite")
        encoding.require(0 < self.delta < 1, self, "delta", "between 0 and 1")
        encoding.require(0 < self.clip_norm < math.inf, self, "clip_norm", "positive and finite")
        quantile = self.adaptive_quantile
        encoding.require(quantile is None or 0 < quantile < 1, self, "adaptive_quantile", "between 0 and 1, or None")


ALTERNATIVES = (NoPrivacy, RecordLevel, SiloLevel)
