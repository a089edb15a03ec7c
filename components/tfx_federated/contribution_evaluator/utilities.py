"""What a coalition of silos is worth: settings. Only the standard library is imported."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Literal

from tff_runtime.settings import encoding

Metric = Literal["auc", "accuracy", "negative_log_loss", "negative_squared_error"]


def _require_metric(utility: Any) -> None:
    names = typing.get_args(Metric)
    encoding.require(utility.metric in names, utility, "metric", " or ".join(repr(name) for name in names))


@dataclasses.dataclass(frozen=True)
class OverallMetric:
    """A metric over all held-out rows: large silos count more.

    Attributes:
        metric: "auc" (labels 0 or 1), "accuracy" (labels 0 or 1 against probabilities at 0.5, or class numbers against
            the likeliest class), "negative_log_loss" (the same labels, probabilities), or "negative_squared_error".
    """

    metric: Metric = "auc"

    def __post_init__(self) -> None:
        """Checks the metric."""
        _require_metric(self)


@dataclasses.dataclass(frozen=True)
class MeanOverSilos:
    """The mean over silos of a metric on their own held-out rows: every silo counts once.

    Silos on whose rows it is undefined do not count, as AUC is on rows of one class.

    Attributes:
        metric: As of `OverallMetric`.
    """

    metric: Metric = "auc"

    def __post_init__(self) -> None:
        """Checks the metric."""
        _require_metric(self)


Utility = OverallMetric | MeanOverSilos
ALTERNATIVES: tuple[type, ...] = typing.get_args(Utility)
DEFAULT: Utility = OverallMetric()
