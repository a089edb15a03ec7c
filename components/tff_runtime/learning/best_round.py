"""Which evaluation of a training was the best, and whether to wait for a better one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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
