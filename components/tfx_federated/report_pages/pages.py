"""What every report's page is made of: Plotly, data in scripts, numbers in words."""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
from collections.abc import Mapping
from typing import Any

import jinja2
import markupsafe
import plotly.graph_objects as go
import plotly.offline

from tfx_federated.report_pages.colours import DARK, LIGHT

# Of every page: the style, and the script that draws the figures.
_STYLE, _FIGURE_SCRIPT = "page.css", "figures.js"


def environment() -> jinja2.Environment:
    """Returns what renders a page: every text is escaped, and an unknown name is an error."""
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters.update(
        number=number, signed=signed, count=count, share=share, interval=interval, gain_interval=gain_interval
    )
    return made


def parts(drawn: Mapping[str, go.Figure]) -> dict[str, Any]:
    """Returns what a template takes of every page: `style`, `plotly`, `figure_script`, `figure_data`, `descriptions`.

    Args:
        drawn: The figures by name; each is drawn in the element `figure-<name>`.
    """
    data = {"figures": {name: json.loads(figure.to_json()) for name, figure in drawn.items()}}
    return {
        "style": markupsafe.Markup(_resource(_STYLE)),
        "plotly": markupsafe.Markup(plotly_script() if drawn else ""),
        "figure_script": markupsafe.Markup(_resource(_FIGURE_SCRIPT) if drawn else ""),
        "figure_data": embedded({**data, "light": LIGHT, "dark": DARK}),
        "descriptions": {name: figure.layout.meta["description"] for name, figure in drawn.items()},
    }


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@functools.cache
def plotly_script() -> str:
    """Returns Plotly's script, for a script element."""
    # Inside a script element, only these two could end or hide what follows.
    return str(plotly.offline.get_plotlyjs()).replace("</script", "<\\/script").replace("<!--", "<\\!--")


def embedded(value: Any) -> markupsafe.Markup:
    """Returns JSON for a script element: ASCII, and without a character that HTML reads."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return markupsafe.Markup(text)


def number(value: float | None) -> str:
    """Returns a number in words; a dash where it is not known."""
    return "\N{EN DASH}" if value is None else _digits(value, "")


def signed(value: float | None) -> str:
    """Returns a number with its sign."""
    return "\N{EN DASH}" if value is None else _digits(value, "+")


def _digits(value: float, sign: str) -> str:
    # Four decimals suit values around one; others need digits, not decimals.
    plain = value == 0 or 5e-5 <= abs(value) < 1e5
    return format(value, f"{sign}.4f" if plain else f"{sign}.3g").replace("-", "\N{MINUS SIGN}")


def interval(values: Mapping[str, Any]) -> str:
    """Returns the bounds of an interval."""
    if values["lower"] is None or values["upper"] is None:
        return "no interval"
    return f"{number(values['lower'])} to {number(values['upper'])}"


def gain_interval(values: Mapping[str, Any]) -> str:
    """Returns the bounds of an interval with their signs."""
    if values["lower"] is None or values["upper"] is None:
        return "no interval"
    return f"{signed(values['lower'])} to {signed(values['upper'])}"


def count(value: int | None) -> str:
    """Returns a count with thousands set apart."""
    return "\N{EN DASH}" if value is None else f"{value:,}"


def share(part: int, whole: int) -> str:
    """Returns a share in percent."""
    percent = 100 * part / whole if whole else math.nan
    return "\N{EN DASH}" if math.isnan(percent) else f"{percent:.0f} %" if percent >= 1 or not part else "under 1 %"
