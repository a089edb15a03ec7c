"""What the trainer is meant to reach, and whether it does."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping


class Figure(enum.Enum):
    """What a goal is about; each is computed from the steady seconds of a round.

    `RATIO` and `OVERHEAD` are at most the goal's limit, `SPEED_UP` is at least that.
    """

    RATIO = "time of a round divided by the rival's"
    SPEED_UP = "time of the rival's round divided by ours"
    OVERHEAD = "time of a round beyond the rival's, in milliseconds per silo"


@dataclasses.dataclass(frozen=True)
class Goal:
    """One goal.

    Attributes:
        workload: Name of the workload.
        contender: Which of ours is meant.
        rival: What it is measured against.
        figure: What is compared.
        limit: The largest, or for a speed-up the smallest, value that meets the goal.
    """

    workload: str
    contender: str
    rival: str
    figure: Figure
    limit: float

    def value(self, seconds: Mapping[str, float], silos: int) -> float | None:
        """Returns what was reached.

        Args:
            seconds: Steady seconds of a round by contender.
            silos: Silos of the workload.

        Returns:
            The figure, or None where one of the two was not measured.
        """
        if self.contender not in seconds or self.rival not in seconds:
            return None
        ours, theirs = seconds[self.contender], seconds[self.rival]
        match self.figure:
            case Figure.RATIO:
                return ours / theirs
            case Figure.SPEED_UP:
                return theirs / ours
            case Figure.OVERHEAD:
                return 1000 * (ours - theirs) / silos

    def is_met(self, value: float) -> bool:
        """Returns whether a value meets the goal."""
        return value >= self.limit if self.figure is Figure.SPEED_UP else value <= self.limit


GOALS = (
    Goal("mlp_16x51200", "in_process", "floor", Figure.RATIO, 1.3),
    Goal("wide_mlp_20", "in_process", "floor", Figure.RATIO, 1.3),
    Goal("logistic_100", "in_process", "stock_tff", Figure.SPEED_UP, 20),
    Goal("logistic_1000", "in_process", "stock_tff", Figure.SPEED_UP, 20),
    Goal("mlp_16x51200", "in_process", "stock_tff", Figure.SPEED_UP, 20),
    Goal("logistic_100", "in_process", "pfl", Figure.SPEED_UP, 5),
    Goal("logistic_1000", "in_process", "pfl", Figure.SPEED_UP, 5),
    Goal("mlp_16x51200", "in_process", "pfl", Figure.SPEED_UP, 5),
    Goal("logistic_1000", "in_process", "floor", Figure.OVERHEAD, 0.5),
    Goal("mlp_16x51200", "native", "stock_tff", Figure.SPEED_UP, 5),
)
