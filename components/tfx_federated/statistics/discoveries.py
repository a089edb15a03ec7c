"""Which of many silos may be called hurt, with the share of false calls under control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from tfx_federated.statistics import arrays


@dataclass(frozen=True)
class Discoveries:
    """The silos for which the null hypothesis is rejected.

    Attributes:
        found: Whether the silo is one of them, [silos].
        adjusted: Least rate at which the silo would be one of them, [silos]; NaN where it was not tested.
    """

    found: arrays.Mask
    adjusted: arrays.Vector


def discover(p_values: npt.ArrayLike, false_discovery_rate: float = 0.05) -> Discoveries:
    """Rejects as many null hypotheses as the rate allows: of those rejected, that share is false on average.

    To call silos hurt, give one-sided p-values. Two-sided ones control the rate over helped and hurt silos together, so
    that many helped silos would let false calls of hurt pass.

    Source: Benjamini and Hochberg, JRSS B 57 (1995), 289-300, procedure (1). It holds for independent silos, which
    share no row, but not for groups that overlap.

    Args:
        p_values: In [0, 1], [silos]; NaN where nothing is claimed: these are not tested and cost nothing.
        false_discovery_rate: In (0, 1).

    Raises:
        ValueError: A p-value or the rate is out of its range.
    """
    arrays.require_probability("false_discovery_rate", false_discovery_rate)
    p_values = arrays.vector("p_values", p_values)
    tested = ~np.isnan(p_values)
    if ((p_values[tested] < 0) | (p_values[tested] > 1)).any():
        raise ValueError("p_values hold values outside of [0, 1]")
    adjusted = np.full(len(p_values), np.nan)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(p_values[tested], method="bh")
    return Discoveries(adjusted <= false_discovery_rate, adjusted)
