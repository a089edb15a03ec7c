"""How every figure of a report looks.

Names of silos are anybody's text: Plotly reads a small HTML in labels, so they are escaped.
"""

from __future__ import annotations

import html

import plotly.graph_objects as go

from tfx_federated.report_pages.colours import LIGHT

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif'
_AXIS = {
    "gridcolor": LIGHT["grid"],
    "linecolor": LIGHT["grid"],
    "zeroline": False,
    "ticks": "",
    "title": {"font": {"size": 13, "color": LIGHT["quiet"]}, "standoff": 12},
    "tickfont": {"size": 12, "color": LIGHT["quiet"]},
    "automargin": True,
}


def new_figure(x_title: str, y_title: str) -> go.Figure:
    """Returns an empty figure with titles of its axes, as plain text."""
    figure = go.Figure()
    style(figure)
    figure.update_xaxes(title_text=x_title)
    figure.update_yaxes(title_text=y_title)
    return figure


def style(figure: go.Figure) -> None:
    """Gives a figure fonts, colours, margins and axes."""
    figure.update_layout(
        template="none",
        font={"family": FONT, "size": 13, "color": LIGHT["text"]},
        paper_bgcolor=LIGHT["page"],
        plot_bgcolor=LIGHT["page"],
        margin={"l": 56, "r": 24, "t": 40, "b": 56},
        hoverlabel={"bgcolor": LIGHT["page"], "bordercolor": LIGHT["grid"], "font": {"color": LIGHT["text"]}},
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.01,
            "yanchor": "bottom",
            "font": {"color": LIGHT["quiet"]},
            "itemsizing": "constant",
        },
        dragmode=False,
    )
    figure.update_xaxes(**_AXIS)
    figure.update_yaxes(**_AXIS)


def described(figure: go.Figure, description: str) -> go.Figure:
    """Returns the figure with the words that stand for it where it is not seen."""
    # What was escaped for Plotly is plain text here; whoever shows it escapes it for their own medium.
    figure.update_layout(meta={"description": html.unescape(description)})
    return figure


def plain(text: str, most: int = 32) -> str:
    """Returns text that Plotly shows as it is: on one line, short, without markup."""
    line = " ".join(text.split())
    shortened = line if len(line) <= most else f"{line[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
    return html.escape(shortened, quote=False)
