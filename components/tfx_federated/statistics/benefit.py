"""What the silos together gain from one model over another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tfx_federated.statistics import arrays, bootstrap, discoveries, paired, shrinkage
from tfx_federated.statistics import evidence as evidence_lib


@dataclass(frozen=True)
class Benefit:
    """Gains over silos; only the silos with enough evidence count.

    Attributes:
        silos: Number of silos with enough evidence.
        helped: Whether the observed gain is above 0, [silos].
        hurt: Whether it is below 0, [silos].
        significantly_helped: Whether that is shown, with the false discovery rate controlled, [silos].
        significantly_hurt: The same for a loss, [silos].
        false_discovery_rate: Share of false ones among the significantly helped, and among the significantly hurt.
        mean_gain: Mean over silos, every silo counted once.
        standard_deviation: Of the true gains over silos, without what the limited rows add to the observed ones.
    """

    silos: int
    helped: arrays.Mask
    hurt: arrays.Mask
    significantly_helped: arrays.Mask
    significantly_hurt: arrays.Mask
    false_discovery_rate: float
    mean_gain: bootstrap.Estimate
    standard_deviation: float


def of_gains(
    gains: paired.Gains,
    false_discovery_rate: float = 0.05,
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Benefit:
    """Returns the benefit over silos.

    Source: significance by `discoveries.discover` on one-sided p-values; the interval of the mean by the two-level
    bootstrap of `bootstrap.estimate`; the standard deviation by `shrinkage.paule_mandel`.

    Args:
        gains: Of the candidate over the other model.
        false_discovery_rate: In (0, 1).
        replicates: Of the bootstrap; 1,000 take about 4 s at 100,000 silos.
        confidence: Of the mean's interval, two-sided, in (0, 1).
        seed: Of the random numbers.

    Raises:
        ValueError: No silo has enough evidence, or an argument is out of its range.
    """
    enough = gains.evidence == evidence_lib.Evidence.ENOUGH
    if not enough.any():
        raise ValueError(
            f"none of {len(enough)} silos has enough rows to say what it gains; there is no benefit to sum up"
        )
    gain, error = gains.gain[enough], gains.standard_error[enough]
    ranges = {"mean": (-math.inf, math.inf)}
    estimates = bootstrap.estimate(
        bootstrap.Means(gain, error), _mean, ranges, replicates=replicates, confidence=confidence, seed=seed
    )
    return Benefit(
        silos=len(gain),
        helped=gains.gain > 0,
        hurt=gains.gain < 0,
        significantly_helped=discoveries.discover(gains.p_helped, false_discovery_rate).found,
        significantly_hurt=discoveries.discover(gains.p_hurt, false_discovery_rate).found,
        false_discovery_rate=false_discovery_rate,
        mean_gain=estimates["mean"],
        standard_deviation=math.sqrt(shrinkage.paule_mandel(gain, error)),
    )


def _mean(values: arrays.Vector, _: arrays.IntVector) -> Mapping[str, arrays.Vector]:
    return {"mean": values.mean(-1)}
