"""How few silos an aggregation can do with. Needs no TensorFlow, so that a job can be refused before it starts."""

from __future__ import annotations

from typing import Any

from tff_runtime.settings import aggregations


def minimum_silos(setting: Any) -> int:
    """Returns the smallest number of silos with a weight above 0 that a round may have.

    Args:
        setting: One of `aggregations.ALTERNATIVES`.

    Returns:
        At least 1. Multi-Krum needs n > 2 f + 2 (Blanchard et al., NeurIPS 2017, section 4), and as many honest silos
        as it selects.
    """
    if isinstance(setting, aggregations.Clipping | aggregations.Zeroing):
        return minimum_silos(setting.inner)
    if isinstance(setting, aggregations.MultiKrum):
        return max(2 * setting.byzantine + 3, setting.byzantine + (setting.selected or 1))
    return 1
