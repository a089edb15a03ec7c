"""How a silo's contribution is measured: settings. Only the standard library is imported, so that compilers can too."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any

from tff_runtime.settings import encoding


def _require_decay(method: Any) -> None:
    encoding.require(0 < method.round_decay <= 1, method, "round_decay", "above 0 and at most 1")


def _require_sampling(method: Any) -> None:
    encoding.require(0 <= method.truncation <= 1, method, "truncation", "from 0 to 1")
    encoding.require(0 < method.relative_error < math.inf, method, "relative_error", "positive")
    encoding.require(method.minimum_permutations >= 2, method, "minimum_permutations", "at least 2")
    encoding.require(method.maximum_evaluations >= 1, method, "maximum_evaluations", "at least 1")
    encoding.require(method.maximum_silos >= 1, method, "maximum_silos", "at least 1")


@dataclasses.dataclass(frozen=True)
class GtgShapley:
    """Shapley values of each round's silos, by guided sampling that is cut short (Liu et al., arXiv 2109.02053).

    Nothing is trained again: a coalition's model is rebuilt from the stored updates.

    Attributes:
        between_rounds: The paper's epsilon_b: a round that changes the utility by less than this share of what rounds
            change in the mean is left out; from 0 to 1.
        truncation: The paper's epsilon_i: silos that come after the utility is so close to the round's are taken to
            add nothing; a share of what the round changes, from 0 to 1.
        relative_error: Sampling of a round ends when the mean standard error is at most this share of the mean
            absolute value, positive.
        minimum_permutations: Permutations of a round before it may end, at least 2.
        maximum_evaluations: Models evaluated in all rounds together, about; at least 1.
        round_decay: A round counts this factor less than the one before, in (0, 1] (Wei et al., "Efficient and fair
            data valuation for horizontal federated learning", 2020). Below 1 the values do not sum to what was gained.
        maximum_silos: With more silos the method is refused, as its errors would be larger than its values.
    """

    between_rounds: float = 0.1
    truncation: float = 0.01
    relative_error: float = 0.1
    minimum_permutations: int = 30
    maximum_evaluations: int = 20_000
    round_decay: float = 1.0
    maximum_silos: int = 200

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(0 <= self.between_rounds <= 1, self, "between_rounds", "from 0 to 1")
        _require_sampling(self)
        _require_decay(self)


@dataclasses.dataclass(frozen=True)
class FederatedShapley:
    """The federated Shapley value: of each round, summed (Wang et al., arXiv 2009.06192, definition 2).

    Nothing is trained again: a coalition's model is rebuilt from the stored updates.

    Attributes:
        exact_silos: Rounds with at most so many silos are exact, by 2^silos models, from 0 to 20.
        permutations: Of each larger round (the paper's section 4.2), at least 2.
        round_decay: As of `GtgShapley`.
    """

    exact_silos: int = 10
    permutations: int = 100
    round_decay: float = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(0 <= self.exact_silos <= 20, self, "exact_silos", "from 0 to 20")
        encoding.require(self.permutations >= 2, self, "permutations", "at least 2")
        _require_decay(self)


@dataclasses.dataclass(frozen=True)
class LocalModelsShapley:
    """Shapley values of silos whose models, trained alone, are averaged (Zhang et al., JMLR 14 (2013), 3321-3363).

    It needs `local_models`, and no stored updates. Of the methods that train nothing again it is closest to
    `Retraining`.

    Attributes:
        exact_silos: With at most so many silos the values are exact, by 2^silos models, from 0 to 20.
        truncation: Silos that come after the utility is so close to that of all are taken to add nothing; a share of
            what all gain, from 0 to 1.
        relative_error: Sampling ends when the mean standard error is at most this share of the mean absolute value,
            positive.
        minimum_permutations: Permutations before it may end, at least 2.
        maximum_evaluations: Models evaluated, about; at least 1.
        maximum_silos: With more silos the method is refused, as its errors would be larger than its values.
    """

    exact_silos: int = 10
    truncation: float = 0.01
    relative_error: float = 0.1
    minimum_permutations: int = 30
    maximum_evaluations: int = 20_000
    maximum_silos: int = 200

    def __post_init__(self) -> None:
        """Checks the ranges."""
        encoding.require(0 <= self.exact_silos <= 20, self, "exact_silos", "from 0 to 20")
        _require_sampling(self)


@dataclasses.dataclass(frozen=True)
class LeaveOneOut:
    """What each round would have lost without the silo, rebuilt from the stored updates: one model a silo and round.

    Two silos with the same rows have no value each, as either can be left out.

    Attributes:
        round_decay: As of `GtgShapley`.
    """

    round_decay: float = 1.0

    def __post_init__(self) -> None:
        """Checks the range."""
        _require_decay(self)


@dataclasses.dataclass(frozen=True)
class GradientCosine:
    """Moving mean of the cosine of a silo's update and the aggregate (CGSV: Xu et al., NeurIPS 2021, equation 3).

    It evaluates no model and needs no stored updates, and so serves thousands of silos. It is no share of the utility:
    a large silo is close to the aggregate because it is most of it.

    Attributes:
        memory: The paper's alpha: how much of the former mean is kept in a round, in [0, 1).
    """

    memory: float = 0.95

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 <= self.memory < 1, self, "memory", "at least 0 and below 1")


@dataclasses.dataclass(frozen=True)
class Retraining:
    """Exact Shapley values by training every coalition, 2^silos trainings (Shapley 1953): for few silos.

    Attributes:
        maximum_silos: With more silos it is refused, from 1 to 16.
    """

    maximum_silos: int = 10

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(1 <= self.maximum_silos <= 16, self, "maximum_silos", "from 1 to 16")


@dataclasses.dataclass(frozen=True)
class LeaveGroupOut:
    """What the training would have lost without a group of silos, by training without it; no update is looked at.

    A group's value is told of the group, and each of its silos gets an equal part of it, as in GroupSV (Ma et al.,
    "Transparent contribution evaluation for secure federated learning on blockchain", 2021). Silos are drawn into
    groups of as equal size as possible.

    Attributes:
        groups: Number of groups, and of trainings beside that of all silos, at least 2; with as many silos, each is
            left out alone.
    """

    groups: int = 8

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(self.groups >= 2, self, "groups", "at least 2")


Plain = LocalModelsShapley | GtgShapley | FederatedShapley | LeaveOneOut | GradientCosine | Retraining | LeaveGroupOut


@dataclasses.dataclass(frozen=True)
class Fallback:
    """One method where it can be computed, else another; the report says which, and why.

    Attributes:
        preferred: The first choice.
        otherwise: The second; a `Fallback` has a third.
    """

    preferred: Plain = LocalModelsShapley()
    otherwise: Plain | Fallback = dataclasses.field(default_factory=lambda: Fallback(GtgShapley(), GradientCosine()))

    def __post_init__(self) -> None:
        """Checks the methods."""
        plain = typing.get_args(Plain)
        encoding.require(isinstance(self.preferred, plain), self, "preferred", "a method that is no Fallback")
        encoding.require(isinstance(self.otherwise, (*plain, Fallback)), self, "otherwise", "a method")


Method = Plain | Fallback
DEFAULT: Method = Fallback()
ALTERNATIVES: tuple[type, ...] = typing.get_args(Method)
