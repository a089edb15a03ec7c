"""The figures of the contribution report, as Plotly figures drawn from the report's content.

Each says in `figure.layout.meta["description"]` what it shows, for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tfx_federated.report_pages.colours import LIGHT
from tfx_federated.report_pages.figure_style import described, new_figure, plain

# Silos that get a line of their own with their name.
_NAMED = 40
# Silos that are drawn as points; of more, some, evenly spaced by rank.
_POINTS = 2000
_VERDICTS = {
    "no significant difference": ("neutral", "circle"),
    "too few rows": ("soft", "circle-open"),
    "undefined": ("soft", "circle-open"),
    "significantly helped": ("good", "triangle-up"),
    "significantly hurt": ("bad", "triangle-down"),
}
_GROUPS = 8


def gave(content: Mapping[str, Any], silos: pd.DataFrame) -> go.Figure:
    """Draws what each silo contributed, sorted; of many silos those that gave most and least.

    Args:
        content: The content of a report.
        silos: `silo_frame.silos` of it, with a contribution for at least one.
    """
    known = silos.dropna(subset=["contribution"]).sort_values("contribution", kind="stable")
    drawn = known if len(known) <= _NAMED else pd.concat([known.head(_NAMED // 2), known.tail(_NAMED // 2)])
    figure = new_figure(_unit(content), "")
    figure.add_trace(
        go.Bar(
            x=_rounded(drawn.contribution),
            y=list(range(len(drawn))),
            orientation="h",
            marker={"color": [LIGHT["mark"] if value >= 0 else LIGHT["bad"] for value in drawn.contribution]},
            error_x=_bars(drawn.contribution, drawn.contribution_lower, drawn.contribution_upper),
            text=[
                f"<b>{plain(name)}</b><br>{value:+.4f}"
                for name, value in zip(drawn["name"], drawn.contribution, strict=True)
            ],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    )
    labels = [plain(name) for name in drawn["name"]]
    figure.update_yaxes(tickvals=list(range(len(drawn))), ticktext=labels, showgrid=False)
    figure.update_layout(height=140 + 22 * len(drawn), showlegend=False, bargap=0.35)
    best = known.iloc[-1]
    return described(
        figure,
        f"What {len(known):,} silos contributed; the most is {plain(best['name'])} with {best.contribution:.4f}"
        + (f". Drawn are the {len(drawn)} that gave most and least." if len(drawn) < len(known) else "."),
    )


def by_round(content: Mapping[str, Any]) -> go.Figure:
    """Draws the contribution of each silo summed up to each round: the eight with the largest in the end, and the rest.

    Args:
        content: The content of a report, with contributions by round.
    """
    rounds, values = content["contribution"]["by_round"]["rounds"], content["contribution"]["by_round"]["values"]
    sums = {silo: np.cumsum([value or 0.0 for value in of_silo]) for silo, of_silo in values.items()}
    largest = sorted(sums, key=lambda silo: -sums[silo][-1])
    figure = new_figure("round", f"{_unit(content)}, summed")
    for number, silo in enumerate(largest[:_GROUPS]):
        figure.add_trace(_line(rounds, sums[silo], plain(silo), LIGHT[f"group_{number + 1}"]))
    if rest := largest[_GROUPS:]:
        together = np.sum([sums[silo] for silo in rest], axis=0)
        figure.add_trace(_line(rounds, together, f"{len(rest)} other silos together", LIGHT["neutral"]))
    figure.update_layout(height=380)
    first = plain(largest[0])
    return described(
        figure, f"Contributions summed over {len(rounds)} rounds; {first} ends highest of {len(sums)} silos."
    )


def rounds_of_silo(content: Mapping[str, Any], name: str) -> go.Figure:
    """Draws the contribution of one silo in each round.

    Args:
        content: The content of a report, with contributions by round.
        name: The silo.
    """
    of_rounds = content["contribution"]["by_round"]
    values = of_rounds["values"][name]
    figure = new_figure("round", _unit(content))
    figure.add_trace(go.Bar(x=of_rounds["rounds"], y=values, marker={"color": LIGHT["mark"]}))
    figure.update_layout(height=300, showlegend=False)
    known = sum(value is not None for value in values)
    return described(figure, f"What the silo contributed in each of {known} rounds.")


def got(content: Mapping[str, Any], silos: pd.DataFrame, model: str) -> go.Figure:
    """Draws what each silo gained from a model against its rows.

    Args:
        content: The content of a report.
        silos: `silo_frame.silos` of it.
        model: The model of one of the comparisons.
    """
    gains = _gains(silos, model)
    figure = new_figure("held-out rows of the silo (log scale)", f"gain in {content['utility']['metric']}")
    for verdict, (role, symbol) in _VERDICTS.items():
        members = gains[gains.verdict == verdict]
        if len(members):
            figure.add_trace(_points(members.held_out_rows, members.gain, members, verdict, role, symbol, len(gains)))
    figure.add_hline(0, line={"color": LIGHT["text"], "width": 1}, layer="below")
    figure.update_xaxes(type="log", tickformat=",d", nticks=8)
    figure.update_layout(height=420)
    counts = ", ".join(f"{(gains.verdict == verdict).sum():,} {verdict}" for verdict in gains.verdict.unique())
    return described(figure, f"Gain of {len(gains):,} silos against their rows: {counts}.")


def balance(content: Mapping[str, Any], silos: pd.DataFrame, model: str) -> go.Figure:
    """Draws what each silo gained against what it contributed.

    Args:
        content: The content of a report.
        silos: `silo_frame.silos` of it.
        model: The model of one of the comparisons.
    """
    gains = _gains(silos, model).dropna(subset=["contribution"])
    figure = new_figure(f"gave: {_unit(content)}", f"got: gain in {content['utility']['metric']}")
    figure.add_trace(_points(gains.contribution, gains.gain, gains, "silo", "mark", "circle", len(gains)))
    for add in (figure.add_hline, figure.add_vline):
        add(0, line={"color": LIGHT["neutral"], "width": 1}, layer="below")
    figure.update_layout(height=420, showlegend=False)
    return described(figure, f"What {len(gains):,} silos gained against what they contributed.")


def has_series(finding: Mapping[str, Any]) -> bool:
    """Returns whether a finding has numbers by round to draw."""
    return any(value is not None for values in finding["series"].values() for value in values)


def evidence(finding: Mapping[str, Any]) -> go.Figure:
    """Draws the numbers behind a finding round by round.

    Args:
        finding: One of a report's findings, with numbers by round.
    """
    figure = new_figure("round, in the order of the ledger", "")
    for number, (name, values) in enumerate(finding["series"].items()):
        colour = LIGHT[f"group_{number % _GROUPS + 1}"]
        figure.add_trace(_line(list(range(1, len(values) + 1)), values, plain(name.replace("_", " ")), colour))
    figure.update_layout(height=260, showlegend=len(finding["series"]) > 1)
    names = ", ".join(name.replace("_", " ") for name in finding["series"])
    return described(figure, f"{names} of {plain(finding['silo'])}, round by round.")


def _unit(content: Mapping[str, Any]) -> str:
    contribution, metric = content["contribution"], content["utility"]["metric"]
    if contribution["gained"] is None and contribution["method"]["type"] == "GradientCosine":
        return "cosine to the aggregate"
    return f"contribution to {metric}"


def _gains(silos: pd.DataFrame, model: str) -> pd.DataFrame:
    names = {f"{model}_gain{suffix}": key for suffix, key in _GAIN_COLUMNS.items()}
    gains = silos.rename(columns=names).dropna(subset=["gain"]).sort_values("gain", kind="stable")
    if len(gains) <= _POINTS:
        return gains
    return gains.iloc[np.unique(np.linspace(0, len(gains) - 1, _POINTS).round().astype(int))]


_GAIN_COLUMNS = {"": "gain", "_lower": "low", "_upper": "high", "_verdict": "verdict"}


def _points(
    x: pd.Series, y: pd.Series, silos: pd.DataFrame, name: str, role: str, symbol: str, drawn: int
) -> go.Scatter:
    return go.Scatter(
        x=_rounded(x),
        y=_rounded(y),
        error_y=_bars(silos.gain, silos.low, silos.high) if drawn <= 400 else None,
        mode="markers",
        name=name,
        marker={"color": LIGHT[role], "symbol": symbol, "size": 9 if drawn <= 60 else 5},
        text=[f"<b>{plain(silo.name)}</b><br>gain {silo.gain:+.4f}" for silo in silos.itertuples()],
        hovertemplate="%{text}<extra></extra>",
    )


def _bars(values: pd.Series, lower: pd.Series, upper: pd.Series) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": _rounded((upper - values).clip(lower=0)),
        "arrayminus": _rounded((values - lower).clip(lower=0)),
        "color": LIGHT["neutral"],
        "thickness": 1.3,
        "width": 0,
    }


def _line(x: Sequence[int], y: Sequence[float | None] | np.ndarray, name: str, colour: str) -> go.Scatter:
    values = [None if value is None else float(f"{value:.6g}") for value in y]
    return go.Scatter(
        x=list(x),
        y=values,
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": 1.6},
        marker={"size": 5},
        hovertemplate=f"<b>{name}</b><br>round %{{x}}: %{{y:.4f}}<extra></extra>",
    )


def _rounded(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else float(f"{value:.6g}") for value in values]
