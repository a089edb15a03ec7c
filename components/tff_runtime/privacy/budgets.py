"""The privacy budget of each silo, and the noise that lets it last for all rounds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

from scipy import stats

from tff_runtime.privacy import accounting, poisson_batches
from tff_runtime.settings import cohorts
from tff_runtime.settings import privacy as privacy_settings

# Silos with nearly the same sampling probability share one calibration: it is accounted for at the next power of this,
# which can only overstate the loss, and adds at most 2 percent of noise.
_PROBABILITY_RATIO = 1.02


@dataclasses.dataclass(frozen=True)
class SiloBudget:
    """What a silo may spend, and on what.

    Attributes:
        unit: What is protected: `row` or `silo`.
        epsilon: The most that its rounds may cost.
        delta: The delta that belongs to it.
        mechanism: What it spends in a round.
        rounds: For how many rounds the noise was chosen.
    """

    unit: str
    epsilon: float
    delta: float
    mechanism: accounting.RoundMechanism
    rounds: int


def record_level(
    privacy: privacy_settings.RecordLevel, samplings: Mapping[str, poisson_batches.PoissonSampling], rounds: int
) -> dict[str, SiloBudget]:
    """Returns the budgets under record-level privacy, by silo.

    Args:
        privacy: The targets.
        samplings: How each silo's batches are drawn.
        rounds: Rounds that a silo takes part in, from `planned_rounds`.

    Raises:
        ValueError: A target is for a silo that there is not, or delta is not below 1 / rows of a silo.
    """
    if unknown := sorted(set(privacy.epsilon_of_silo) - set(samplings)):
        raise ValueError(f"epsilon_of_silo names {', '.join(unknown)}, of which there are no training rows")
    return {silo: _record_level(privacy, silo, sampled, rounds) for silo, sampled in samplings.items()}


def _record_level(
    privacy: privacy_settings.RecordLevel, silo: str, sampled: poisson_batches.PoissonSampling, rounds: int
) -> SiloBudget:
    _check_delta(privacy.delta, sampled.rows, f"rows of silo {silo!r}")
    target = privacy.epsilon_of_silo.get(silo, privacy.epsilon)
    probability = _rounded_up(sampled.probability)
    multiplier = accounting.noise_multiplier(target, privacy.delta, probability, sampled.steps, rounds)
    mechanism = accounting.RoundMechanism(probability, sampled.steps, multiplier)
    return SiloBudget("row", target, privacy.delta, mechanism, rounds)


def silo_level(privacy: privacy_settings.SiloLevel, silos: Collection[str], rounds: int) -> dict[str, SiloBudget]:
    """Returns the budgets under silo-level privacy, by silo.

    A sampled cohort is not counted as amplification, because the run's records name the silos of each round. A silo
    pays for the rounds that it takes part in.

    Args:
        privacy: The target.
        silos: All silos.
        rounds: Rounds that a silo takes part in, from `planned_rounds`.

    Raises:
        ValueError: Delta is not below 1 / number of silos.
    """
    _check_delta(privacy.delta, len(silos), "silos")
    multiplier = accounting.noise_multiplier(privacy.epsilon, privacy.delta, 1.0, 1, rounds)
    budget = SiloBudget("silo", privacy.epsilon, privacy.delta, accounting.RoundMechanism(1.0, 1, multiplier), rounds)
    return dict.fromkeys(silos, budget)


def planned_rounds(cohort: Any, rounds: int, silos: int) -> int:
    """Returns in how many rounds a silo takes part.

    Args:
        cohort: One of `cohorts.ALTERNATIVES`.
        rounds: Rounds of the training.
        silos: Number of silos.

    Returns:
        At least 1. For a uniform sample a number that, at 99 percent, no silo exceeds; one that does is left out from
        then on. For a sample by size, all rounds.
    """
    match cohort:
        case cohorts.RoundRobin():
            return min(rounds, math.ceil(rounds * cohort.size / silos))
        case cohorts.UniformSample():
            share = min(1.0, cohort.size / silos)
            return max(1, int(stats.binom.isf(0.01 / silos, rounds, share)))
        case _:
            return rounds


def _check_delta(delta: float, units: int, of_what: str) -> None:
    # With a delta of 1 / n, publishing one of n rows at random would be allowed.
    if delta >= 1 / units:
        raise ValueError(f"privacy: delta is {delta:g}; it must be below {1 / units:g}, as there are {units} {of_what}")


def _rounded_up(probability: float) -> float:
    exponent = math.floor(-math.log(probability) / math.log(_PROBABILITY_RATIO))
    return max(probability, _PROBABILITY_RATIO**-exponent)
