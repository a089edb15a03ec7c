"""Which evaluation was the best: of a training, and of each silo's own model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tff_runtime import job as job_lib
from tff_runtime.settings import stopping


def value(
    setting: stopping.BestRound, silos: Sequence[job_lib.SiloRows], measured: Sequence[Mapping[str, float]]
) -> float:
    """Returns what a `BestRound` compares: the smaller, the better.

    Args:
        setting: Which metric, and of which silos.
        silos: The silos of the evaluation split.
        measured: Their metrics, in the same order. Silos whose metric is not finite do not count.

    Raises:
        JobError: The model has no such metric.
    """
    if setting.metric not in measured[0]:
        raise job_lib.JobError(
            "Stopping", f"BestRound: the model has no metric {setting.metric!r}; it has {', '.join(measured[0])}"
        )
    sign = -1 if setting.higher_is_better else 1
    values = [(sign * metrics[setting.metric], silo.count) for silo, metrics in zip(silos, measured, strict=True)]
    values = [(one, rows) for one, rows in values if math.isfinite(one)]
    if not values:
        return math.inf
    if setting.of == "worst_silo":
        return max(one for one, _ in values)
    if setting.of == "silos":
        return math.fsum(one for one, _ in values) / len(values)
    return math.fsum(one * rows for one, rows in values) / sum(rows for _, rows in values)


class OwnBest(NamedTuple):
    """The best model of each silo so far, by its own rows.

    Attributes:
        weights: Trainable weights, each array with a leading axis of silos.
        values: What was compared: the smaller, the better; infinite before the first evaluation, [silos].
    """

    weights: list[np.ndarray]
    values: np.ndarray

    def or_better(self, weights: Sequence[np.ndarray], values: np.ndarray) -> OwnBest:
        """Returns the better of each silo's two models; one without a finite value yet goes on to the later model.

        Args:
            weights: Of every silo, each array with a leading axis of silos.
            values: What is compared; infinite or NaN where nothing was measured, [silos].
        """
        replaced = (values < self.values) | ~np.isfinite(self.values)
        kept = [np.array(stack) for stack in self.weights]
        for stack, later in zip(kept, weights, strict=True):
            stack[replaced] = np.asarray(later)[replaced]
        return OwnBest(kept, np.where(values < self.values, values, self.values))
