"""Metric against silo size, as the geometry of a small SVG plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfx_federated.fairness_evaluator import silo_table

WIDTH, HEIGHT = 900, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 76, 16, 52


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis, in SVG units."""

    position: float
    label: str


@dataclass(frozen=True)
class Point:
    """A silo: its place in SVG units, its name, and its rows and metric."""

    x: float
    y: float
    silo: silo_table.SliceMetrics
    enough_rows: bool


@dataclass(frozen=True)
class Plot:
    """Everything a template needs to draw the plot; `overall` is the height of the overall line, or None."""

    points: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    overall: float | None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def lay_out(table: silo_table.SiloTable, minimum_rows: int) -> Plot | None:
    """Places the silos: rows on a logarithmic x axis, the metric on y.

    Args:
        table: The evaluation.
        minimum_rows: Silos with fewer rows are marked.

    Returns:
        The plot, or None if no silo has a defined metric.
    """
    shown = [silo for silo in table.silos if silo.value is not None]
    if not shown:
        return None
    values = [silo.value for silo in [*shown, table.overall] if silo.value is not None]
    y_steps = _linear_steps(min(values), max(values))
    first = math.floor(math.log10(min(silo.rows for silo in shown)))
    last = max(first + 1, math.ceil(math.log10(max(silo.rows for silo in shown))))

    def x_of(rows: float) -> float:
        return round(LEFT + (math.log10(rows) - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    def y_of(value: float) -> float:
        share = (value - y_steps[0]) / (y_steps[-1] - y_steps[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    return Plot(
        points=tuple(
            Point(x_of(silo.rows), y_of(silo.value), silo, silo.rows >= minimum_rows)
            for silo in shown
            if silo.value is not None
        ),
        x_ticks=tuple(Tick(x_of(10.0**power), f"{10**power:,}") for power in range(first, last + 1)),
        y_ticks=tuple(Tick(y_of(step), f"{step:.{_digits(y_steps)}f}") for step in y_steps),
        overall=None if table.overall.value is None else y_of(table.overall.value),
    )


def _linear_steps(lowest: float, highest: float) -> list[float]:
    """Returns 3 to 8 round numbers, evenly spaced, from at most the lowest to at least the highest value."""
    span = max(highest - lowest, 1e-3 * max(1.0, abs(highest)))
    magnitude = 10.0 ** math.floor(math.log10(span / 5))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= span / 5)
    first, last = math.floor(lowest / step), math.ceil(highest / step)
    return [count * step for count in range(first, max(last, first + 2) + 1)]


def _digits(steps: Sequence[float]) -> int:
    return max(0, -math.floor(math.log10(steps[1] - steps[0]) + 1e-9))
