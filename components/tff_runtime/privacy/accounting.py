"""What a number of rounds costs, by dp-accounting: privacy loss distributions, and Renyi privacy as a check.

Neighbours are two data sets of which one has one row more (silo-level: one silo more). Public are the numbers of rows
and of silos, and with them the sampling probabilities, the steps and the divisors.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping

import dp_accounting
from dp_accounting import pld, rdp

_RELATION = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE


@dataclasses.dataclass(frozen=True)
class RoundMechanism:
    """What one round does with the rows of a silo, or with one silo: Gaussian noise on sums over Poisson batches.

    Attributes:
        sampling_probability: Probability of a row to be in a batch, in (0, 1].
        steps: Sums in a round.
        noise_multiplier: Standard deviation of the noise divided by the clipping norm, positive.
    """

    sampling_probability: float
    steps: int
    noise_multiplier: float

    def event(self, rounds: int) -> dp_accounting.DpEvent:
        """Returns so many rounds as dp-accounting describes them."""
        event: dp_accounting.DpEvent = dp_accounting.GaussianDpEvent(self.noise_multiplier)
        # All rows in all batches is no sampling, and dp-accounting composes it in closed form.
        if self.sampling_probability < 1:
            event = dp_accounting.PoissonSampledDpEvent(self.sampling_probability, event)
        return dp_accounting.SelfComposedDpEvent(event, rounds * self.steps)


def epsilon(event: dp_accounting.DpEvent, delta: float, interval: float = 1e-4) -> float:
    """Returns the epsilon of an event by its privacy loss distribution, never less than the true one.

    Args:
        event: What happened.
        delta: In (0, 1).
        interval: Width of the steps that the privacy loss is rounded to: coarser is faster, and pessimistic.
    """
    accountant = pld.PLDAccountant(_RELATION, value_discretization_interval=interval)
    return float(accountant.compose(event).get_epsilon(delta))


def epsilon_by_renyi(event: dp_accounting.DpEvent, delta: float) -> float:
    """Returns the epsilon of an event by Renyi differential privacy, an upper bound that is not as tight."""
    return float(rdp.RdpAccountant(neighboring_relation=_RELATION).compose(event).get_epsilon(delta))


def epsilon_of_rounds(rounds: Mapping[RoundMechanism, int], target_epsilon: float, delta: float) -> float:
    """Returns the epsilon of rounds of several mechanisms, with the precision that a target needs; remembered.

    Args:
        rounds: Number of rounds, at least 1, by mechanism.
        target_epsilon: The epsilon that it will be compared with, positive.
        delta: In (0, 1).
    """
    return _epsilon_of_rounds(tuple(sorted(rounds.items(), key=repr)), target_epsilon, delta)


@functools.lru_cache(maxsize=100_000)
def _epsilon_of_rounds(rounds: tuple[tuple[RoundMechanism, int], ...], target_epsilon: float, delta: float) -> float:
    if not rounds:
        return 0.0
    event = dp_accounting.ComposedDpEvent([mechanism.event(count) for mechanism, count in rounds])
    steps = sum(mechanism.steps * count for mechanism, count in rounds)
    return epsilon(event, delta, _interval(target_epsilon, steps))


@functools.lru_cache(maxsize=100_000)
def noise_multiplier(
    target_epsilon: float, delta: float, sampling_probability: float, steps: int, rounds: int
) -> float:
    """Returns the smallest noise multiplier, to about 0.1 percent, whose rounds stay within the target; remembered.

    Args:
        target_epsilon: Positive.
        delta: In (0, 1).
        sampling_probability: Probability of a row to be in a batch, in (0, 1].
        steps: Steps in a round.
        rounds: Rounds, at least 1.
    """

    def event(multiplier: float) -> dp_accounting.DpEvent:
        return RoundMechanism(sampling_probability, steps, multiplier).event(rounds)

    interval = _interval(target_epsilon, steps * rounds)

    def accountant() -> pld.PLDAccountant:
        return pld.PLDAccountant(_RELATION, value_discretization_interval=interval)

    guess = _approximate_noise_multiplier(target_epsilon, delta, sampling_probability, steps * rounds)
    too_small = 0.9 * guess
    while accountant().compose(event(too_small)).get_epsilon(delta) <= target_epsilon:
        too_small *= 0.8
    return float(
        dp_accounting.calibrate_dp_mechanism(
            accountant,
            event,
            target_epsilon,
            delta,
            dp_accounting.LowerEndpointAndGuess(too_small, 1.2 * too_small),
            tol=1e-3 * guess,
        )
    )


def _approximate_noise_multiplier(
    target_epsilon: float, delta: float, sampling_probability: float, steps: int
) -> float:
    """Returns where the search begins: the central limit of many steps (Bu et al., arXiv 1911.11607, corollary 5.4)."""
    logarithm = math.log(1 / delta)
    # The mu of Gaussian differential privacy whose Renyi bound, mu^2 / 2 + mu sqrt(2 log(1 / delta)), is the target.
    mu = math.sqrt(2 * logarithm + 2 * target_epsilon) - math.sqrt(2 * logarithm)
    return math.log1p(mu**2 / (sampling_probability**2 * steps)) ** -0.5


def _interval(target_epsilon: float, steps: int) -> float:
    # The privacy loss of a step is about the target divided by the root of the steps. Steps of a twentieth of that make
    # up one percent of epsilon or less, and much faster work than the interval that dp-accounting takes.
    return min(0.01, 0.05 * target_epsilon / math.sqrt(steps))
