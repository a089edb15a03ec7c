"""Figures in the style of the FairnessEvaluator's report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from tfx_federated.fairness_evaluator import figures

_COLOURS = [figures.LIGHT[f"group_{number}"] for number in range(1, 9)]
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif'


def figure(x_title: str, y_title: str, **layout: Any) -> go.Figure:
    """Returns an empty figure.

    Args:
        x_title: Title of the horizontal axis.
        y_title: Title of the vertical axis.
        **layout: More of Plotly's layout.
    """
    axis = {"gridcolor": figures.LIGHT["grid"], "zeroline": False, "automargin": True}
    return go.Figure(
        layout={
            "template": "none",
            "font": {"family": _FONT, "size": 13, "color": figures.LIGHT["text"]},
            "margin": {"l": 64, "r": 24, "t": 24, "b": 56},
            "height": 440,
            "xaxis": {**axis, "title": {"text": x_title}},
            "yaxis": {**axis, "title": {"text": y_title}},
            **layout,
        }
    )


def add_points(
    drawn: go.Figure,
    name: str,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    bounds: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    texts: Sequence[str] | None = None,
    is_line: bool = False,
) -> None:
    """Adds a series, in the next colour.

    Args:
        drawn: The figure.
        name: What the series is called.
        x: Positions, [points].
        y: Values, [points]; NaN is not drawn.
        bounds: Lower and upper bound of each value, [points] each.
        texts: What a point is called, [points].
        is_line: Whether the points are joined.
    """
    colour = _COLOURS[len(drawn.data) % len(_COLOURS)]
    values = np.asarray(y, np.float64)
    errors = None
    if bounds is not None:
        lower, upper = (np.asarray(bound, np.float64) for bound in bounds)
        errors = {"array": upper - values, "arrayminus": values - lower, "thickness": 1, "width": 2}
    drawn.add_trace(
        go.Scatter(
            name=name,
            x=np.asarray(x),
            y=values,
            text=texts,
            error_y=errors,
            mode="lines+markers" if is_line else "markers",
            marker={"color": colour, "size": 8},
            line={"color": colour},
        )
    )
