"""The figures of the fairness report, as Plotly figures drawn from the report's content.

The page and the notebook show the same ones. Each says in `figure.layout.meta["description"]` what it shows, for those
who do not see it. Names of silos are text: Plotly reads a small HTML in labels, so they are escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from plotly import subplots

from tfx_federated.fairness_evaluator import report_frames
from tfx_federated.report_pages import figure_style
from tfx_federated.report_pages.colours import LIGHT

# Above it single silos are no longer to be told apart, and a browser draws them slowly.
MOST_SILOS_DRAWN = 2000
# Up to it points are large, and each has room for its interval.
_FEW_SILOS = 400
_MOST_NAMES_ON_AXIS = 30
_WORST_MARKED = 20
_CURVE_POINTS = 400
_MOST_GROUPS = 8

_WHY = {"all rows": "All rows", "largest": "Largest silo", "smallest": "Smallest silo", "worst": "Worst silo"}
# The last is drawn on top.
_VERDICTS = {
    "no significant difference": ("neutral", "circle"),
    "significantly helped": ("good", "triangle-up"),
    "significantly hurt": ("bad", "triangle-down"),
}


def metric_by_size(content: Mapping[str, Any], silos: pd.DataFrame) -> go.Figure:
    """Draws the metric of every silo against its rows, on a logarithmic axis, with the line of all rows.

    Up to 2,000 silos each is a point with its interval; above it, shading says how many silos lie where, and the 20
    worst are points.

    Args:
        content: The content of a report, as `report_schema.json` describes it.
        silos: `report_frames.silos` of it.
    """
    silos = silos.dropna(subset=["value"])
    metric = figure_style.plain(content["metric"])
    figure = figure_style.new_figure("rows of the silo (log scale)", metric)
    enough = silos[silos.evidence == "enough"]
    if len(silos) <= MOST_SILOS_DRAWN:
        few = silos[silos.evidence != "enough"]
        figure.add_trace(_points(enough, "silo", _filled(len(enough)), with_intervals=True))
        if len(few):
            figure.add_trace(_points(few, "too little evidence to say", _hollow()))
        drawn = silos
    else:
        figure.add_trace(_density(enough))
        drawn = enough
    worst = _worst(enough, content)
    if len(silos) > MOST_SILOS_DRAWN:
        figure.add_trace(_points(worst, f"the {len(worst)} worst", _ringed()))
    overall = content["overall"]["value"]
    if overall is not None:
        _overall_line(figure, overall, vertical=False)
    if len(worst):
        _name_the_worst(figure, worst.iloc[0], metric)
    figure.update_xaxes(type="log", tickvals=_powers_of_ten(drawn.rows), tickformat=",d")
    figure.update_layout(showlegend=len(figure.data) > 1, height=440)
    return figure_style.described(
        figure,
        f"{metric} of {len(drawn):,} silos against their number of rows, "
        + (f"from {drawn.rows.min():,} to {drawn.rows.max():,} rows. " if len(drawn) else "none drawn. ")
        + _over_all_rows(overall)
        + (
            f" The worst silo is {figure_style.plain(worst.iloc[0]['name'])} with {worst.iloc[0].value:.4f}."
            if len(worst)
            else ""
        ),
    )


def distribution(content: Mapping[str, Any], silos: pd.DataFrame) -> go.Figure:
    """Draws how many silos have which metric: those with enough evidence, each counted once.

    Args:
        content: The content of a report, as `report_schema.json` describes it.
        silos: `report_frames.silos` of it.
    """
    values = silos.value[silos.evidence == "enough"].dropna().to_numpy()
    metric = figure_style.plain(content["metric"])
    figure = figure_style.new_figure(metric, "silos")
    counts, edges = _histogram(values)
    figure.add_trace(
        go.Bar(
            x=report_frames.rounded((edges[:-1] + edges[1:]) / 2),
            y=counts,
            width=report_frames.rounded(np.diff(edges)),
            marker={"color": LIGHT["soft"], "line": {"width": 1, "color": LIGHT["page"]}},
            customdata=report_frames.rounded(np.column_stack([edges[:-1], edges[1:]])),
            hovertemplate="%{y:,} silos from %{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>",
        )
    )
    overall = content["overall"]["value"]
    if overall is not None:
        _overall_line(figure, overall, vertical=True)
    figure.update_layout(showlegend=False, height=300, bargap=0)
    figure.update_yaxes(tickformat=",d", rangemode="tozero")
    if len(values) and counts.max() <= 5:
        figure.update_yaxes(dtick=1)
    middle = (
        ""
        if not len(values)
        else (f" Half of them lie between {np.quantile(values, 0.25):.4f} and {np.quantile(values, 0.75):.4f}.")
    )
    return figure_style.described(
        figure, f"How {len(values):,} silos spread over {metric}.{middle} {_over_all_rows(overall)}"
    )


def benefit(content: Mapping[str, Any], silos: pd.DataFrame, model: str) -> go.Figure:
    """Draws the gain of every silo over another model, sorted, with intervals and verdicts.

    Above 2,000 silos it draws 400 of them, evenly spaced by rank.

    Args:
        content: The content of a report, as `report_schema.json` describes it.
        silos: `report_frames.silos` of it.
        model: Name of the compared model, such as `baseline`.

    Raises:
        ValueError: No silo was compared with that model.
    """
    known = report_frames.models_with_gains(content)
    if model not in known:
        raise ValueError(f"no silo was compared with {model!r}; the report compares with {known}")
    gains = _gains(silos, model)
    by_name = len(gains) <= _MOST_NAMES_ON_AXIS
    drawn = gains
    if len(gains) > MOST_SILOS_DRAWN:
        drawn = gains.iloc[np.unique(np.linspace(0, len(gains) - 1, _CURVE_POINTS).round().astype(int))]
    title = f"gain in {figure_style.plain(content['metric'])} over {figure_style.plain(model_in_words(model))}"
    figure = figure_style.new_figure(title, "") if by_name else figure_style.new_figure("silos, by gain", title)
    for verdict, (role, symbol) in _VERDICTS.items():
        members = drawn[drawn.verdict == verdict]
        if len(members):
            figure.add_trace(_gain_points(members, verdict, LIGHT[role], symbol, by_name, len(drawn)))
    line = {"color": LIGHT["text"], "width": 1}
    figure.add_vline(0, line=line, layer="below") if by_name else figure.add_hline(0, line=line, layer="below")
    if by_name:
        figure.update_yaxes(
            tickvals=gains["rank"].tolist(),
            ticktext=[figure_style.plain(name) for name in gains["name"]],
            range=[0.4, len(gains) + 0.6],
            showgrid=False,
        )
        figure.update_layout(height=140 + 24 * len(gains))
    else:
        figure.update_xaxes(tickformat=",d", showgrid=False)
        figure.update_layout(height=380)
    counts = ", ".join(f"{(gains.verdict == verdict).sum():,} {verdict}" for verdict in _VERDICTS)
    return figure_style.described(
        figure, f"Gain of {len(gains):,} silos over {model_in_words(model)}, sorted: {counts}."
    )


def calibration(content: Mapping[str, Any]) -> go.Figure:
    """Draws the mean label against the mean prediction, for all rows and for single silos, one small plot each.

    Args:
        content: The content of a report, as `report_schema.json` describes it.
    """
    parts = content["calibration"]
    titles = [_calibration_title(part) for part in parts]
    count = max(len(parts), 1)
    figure = subplots.make_subplots(
        rows=1, cols=count, subplot_titles=titles or None, shared_yaxes=True, horizontal_spacing=0.03
    )
    for place, part in enumerate(parts, start=1):
        figure.add_trace(_diagonal(), row=1, col=place)
        figure.add_trace(_calibration_points(part["bins"]), row=1, col=place)
    figure_style.style(figure)
    figure.update_annotations(font={"size": 13, "color": LIGHT["text"]})
    figure.update_xaxes(range=[-0.03, 1.03], tickvals=[0, 0.5, 1], title_text="mean prediction")
    figure.update_yaxes(range=[-0.03, 1.03], tickvals=[0, 0.5, 1])
    figure.update_yaxes(title_text="mean label", col=1)
    figure.update_layout(showlegend=False, height=320, margin={"t": 56})
    return figure_style.described(
        figure,
        "Mean label against mean prediction; on the diagonal both agree. "
        + " ".join(f"{_WHY[part['why']]}: {_calibration_in_words(part)}" for part in parts),
    )


def groups(content: Mapping[str, Any], place: int) -> go.Figure:
    """Draws the metric of each group, silo by silo: the 20 silos whose groups lie furthest apart, one line each.

    Args:
        content: The content of a report, as `report_schema.json` describes it.
        place: Which of the content's `slices`.
    """
    sliced = content["slices"][place]
    minimum = content["evidence"]["minimum_rows"]
    gaps = sorted(sliced["gaps"], key=lambda gap: gap["gap"], reverse=True)[:_WORST_MARKED]
    lines = {gap["silo"]: line for line, gap in enumerate(reversed(gaps))}
    members = [
        group
        for group in sliced["groups"]
        if group["silo"] in lines and group["value"] is not None and group["rows"] >= minimum
    ]
    metric = figure_style.plain(sliced["metric"])
    figure = figure_style.new_figure(metric, "")
    ends: list[tuple[Any, Any]] = []
    for silo, line in lines.items():
        values = [group["value"] for group in members if group["silo"] == silo]
        ends += [(min(values), line), (max(values), line), (None, None)] if values else []
    figure.add_trace(
        go.Scatter(
            x=[x for x, _ in ends],
            y=[y for _, y in ends],
            mode="lines",
            line={"color": LIGHT["neutral"], "width": 2},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    names = list(dict.fromkeys(group_in_words(group["values"]) for group in members))
    for number, name in enumerate(names):
        ours = [group for group in members if group_in_words(group["values"]) == name]
        figure.add_trace(_group_points(ours, lines, name, number, len(names)))
    labels = ["all rows" if silo is None else figure_style.plain(silo) for silo in lines]
    figure.update_yaxes(tickvals=list(lines.values()), ticktext=labels, showgrid=False, range=[-0.6, len(lines) - 0.4])
    figure.update_layout(height=150 + 26 * len(lines), showlegend=1 < len(names) <= _MOST_GROUPS)
    features = ", ".join(figure_style.plain(feature) for feature in sliced["features"])
    largest = f" The largest gap is {gaps[0]['gap']:.4f}." if gaps else ""
    return figure_style.described(figure, f"{metric} of the groups by {features} in {len(lines)} silos.{largest}")


def model_in_words(model: str) -> str:
    """Returns what page and figures call a compared model, as plain text."""
    words = {
        "baseline": "the baseline model",
        "local_models": "the silo's own local model",
        "silo_models": "the silo's personalised model",
    }
    return words.get(model, model)


def group_in_words(values: Mapping[str, str]) -> str:
    """Returns a group's name, such as `origin EWR`, escaped for Plotly."""
    return ", ".join(f"{figure_style.plain(feature)} {figure_style.plain(value)}" for feature, value in values.items())


def _over_all_rows(overall: float | None) -> str:
    return "It is undefined over all rows." if overall is None else f"Over all rows it is {overall:.4f}."


def _filled(count: int) -> dict[str, Any]:
    few = count <= _FEW_SILOS
    return {
        "color": LIGHT["mark"],
        "size": 9 if count <= 60 else 7 if few else 5,
        "line": {"width": 1 if few else 0.5, "color": LIGHT["page"]},
    }


def _hollow() -> dict[str, Any]:
    return {"color": LIGHT["page"], "size": 7, "line": {"width": 1.3, "color": LIGHT["neutral"]}}


def _ringed() -> dict[str, Any]:
    return {"color": LIGHT["bad"], "size": 7, "symbol": "circle-open", "line": {"width": 1.6, "color": LIGHT["bad"]}}


def _points(silos: pd.DataFrame, name: str, marker: dict[str, Any], with_intervals: bool = False) -> go.Scatter:
    intervals = None
    if with_intervals:
        intervals = _bars(silos.value, silos.lower, silos.upper)
    return go.Scatter(
        x=silos.rows.tolist(),
        y=report_frames.rounded(silos.value),
        error_y=intervals,
        text=[_hover(silo) for silo in silos.itertuples()],
        mode="markers",
        marker=marker,
        name=name,
        hovertemplate="%{text}<extra></extra>",
    )


def _bars(values: pd.Series, lower: pd.Series, upper: pd.Series, color: str = LIGHT["soft"]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": report_frames.rounded((upper - values).clip(lower=0)),
        "arrayminus": report_frames.rounded((values - lower).clip(lower=0)),
        "color": color,
        "thickness": 1.5 if len(values) <= 60 else 1,
        "width": 0,
    }


def _hover(silo: Any) -> str:
    bounds = "" if pd.isna(silo.lower) else f"<br>{silo.lower:.4f} to {silo.upper:.4f}"
    return f"<b>{figure_style.plain(silo.name)}</b><br>{silo.value:.4f}{bounds}<br>{silo.rows:,} rows"


def _density(silos: pd.DataFrame) -> go.Heatmap:
    """Counts the silos in cells of a grid, for a figure whose size does not depend on how many there are."""
    sizes = silos.rows.to_numpy(float).clip(1)
    # Cells hold whole numbers of rows: else some cells for small silos could never hold any.
    edges = np.unique(np.geomspace(sizes.min(initial=1e9), sizes.max(initial=1) + 1, 49).round()) - 0.5
    counts, size_edges, value_edges = np.histogram2d(sizes, silos.value.to_numpy(float), [edges, 40])
    # One silo alone in a cell must still be seen beside a cell of hundreds.
    shades = np.where(counts > 0, np.log10(counts.clip(1)) + 0.35, np.nan)
    return go.Heatmap(
        x=report_frames.rounded(size_edges),
        y=report_frames.rounded(value_edges),
        z=report_frames.rounded(shades.T),
        zmin=0,
        customdata=counts.T.astype(int).tolist(),
        colorscale=[[0, LIGHT["faint"]], [0.35, LIGHT["soft"]], [1, LIGHT["mark"]]],
        showscale=False,
        hoverongaps=False,
        hovertemplate="%{customdata:,} silos near %{x:,.0f} rows and %{y:.4f}<extra></extra>",
        name="silos",
    )


def _worst(enough: pd.DataFrame, content: Mapping[str, Any]) -> pd.DataFrame:
    return enough.sort_values("value", ascending=content["higher_is_better"], kind="stable").head(_WORST_MARKED)


def _name_the_worst(figure: go.Figure, worst: Any, metric: str) -> None:
    figure.add_annotation(
        x=float(np.log10(max(worst.rows, 1))),
        y=worst.value,
        text=f"worst: {figure_style.plain(worst['name'], 24)}",
        font={"size": 12, "color": LIGHT["bad"]},
        showarrow=True,
        arrowhead=0,
        arrowcolor=LIGHT["bad"],
        arrowwidth=1,
        standoff=6,
        ax=44,
        ay=22,
        xanchor="left",
        bgcolor=LIGHT["page"],
    )


def _overall_line(figure: go.Figure, overall: float, vertical: bool) -> None:
    line = {"color": LIGHT["text"], "width": 1.3, "dash": "dash"}
    label = {"text": f"all rows {overall:.3f}", "showarrow": False, "bgcolor": LIGHT["page"]}
    font = {"size": 12, "color": LIGHT["text"]}
    if vertical:
        figure.add_vline(overall, line=line)
        figure.add_annotation(x=overall, y=1, yref="paper", yanchor="bottom", font=font, **label)
    else:
        figure.add_hline(overall, line=line)
        figure.add_annotation(x=1, xref="paper", xanchor="right", y=overall, yanchor="bottom", font=font, **label)


def _powers_of_ten(rows: pd.Series) -> list[int]:
    if rows.empty:
        return [1, 10]
    low, high = np.floor(np.log10(max(rows.min(), 1))), np.ceil(np.log10(max(rows.max(), 1)))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    return [step * 10 ** int(power) for power in np.arange(low, high + 1) for step in steps]


def _histogram(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    if not len(values):
        return np.zeros(1, np.int64), np.array([0.0, 1.0])
    bins = min(max(len(np.histogram_bin_edges(values, "auto")) - 1, 10), 60)
    return np.histogram(values, bins)


def _gains(silos: pd.DataFrame, model: str) -> pd.DataFrame:
    names = {f"{model}_gain": "gain", f"{model}_gain_lower": "low", f"{model}_gain_upper": "high"}
    gains = silos.rename(columns={**names, f"{model}_gain_verdict": "verdict"})
    gains = gains[gains.verdict.isin(list(_VERDICTS))].sort_values("gain", kind="stable").reset_index(drop=True)
    return gains.assign(rank=np.arange(1, len(gains) + 1))


def _gain_points(gains: pd.DataFrame, verdict: str, color: str, symbol: str, by_name: bool, drawn: int) -> go.Scatter:
    ranks, values = gains["rank"].tolist(), report_frames.rounded(gains.gain)
    bars = _bars(gains.gain, gains.low, gains.high, color if drawn <= _FEW_SILOS else LIGHT["soft"])
    return go.Scatter(
        x=values if by_name else ranks,
        y=ranks if by_name else values,
        error_x=bars if by_name else None,
        error_y=None if by_name else bars,
        mode="markers",
        name=verdict,
        marker={"color": color, "symbol": symbol, "size": 9 if drawn <= 60 else 4 if symbol == "circle" else 7},
        text=[
            f"<b>{figure_style.plain(silo.name)}</b><br>"
            f"gain {silo.gain:+.4f} ({silo.low:+.4f} to {silo.high:+.4f})<br>{verdict}"
            for silo in gains.itertuples()
        ],
        hovertemplate="%{text}<extra></extra>",
    )


def _calibration_title(part: Mapping[str, Any]) -> str:
    name = "" if part["silo"] is None else f"{figure_style.plain(part['silo'], 22)}, "
    return f"<b>{_WHY[part['why']]}</b><br>{name}{part['rows']:,} rows"


def _diagonal() -> go.Scatter:
    line = {"color": LIGHT["neutral"], "width": 1, "dash": "dot"}
    return go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip")


def _calibration_points(bins: Sequence[Mapping[str, Any]]) -> go.Scatter:
    names = ["mean_prediction", "mean_label", "lower", "upper", "rows"]
    frame = pd.DataFrame(list(bins), columns=names).astype("float64").sort_values("mean_prediction")
    return go.Scatter(
        x=report_frames.rounded(frame.mean_prediction),
        y=report_frames.rounded(frame.mean_label),
        error_y=_bars(frame.mean_label, frame.lower, frame.upper),
        customdata=frame.rows.astype(int).tolist(),
        mode="lines+markers",
        line={"color": LIGHT["mark"], "width": 1.3},
        marker={"color": LIGHT["mark"], "size": 7, "line": {"width": 1, "color": LIGHT["page"]}},
        hovertemplate="predicted %{x:.4f}<br>observed %{y:.4f}<br>%{customdata:,} rows<extra></extra>",
    )


def _calibration_in_words(part: Mapping[str, Any]) -> str:
    bins = [entry for entry in part["bins"] if entry["mean_label"] is not None and entry["mean_prediction"] is not None]
    rows = sum(entry["rows"] for entry in bins)
    if not rows:
        return "no rows."
    error = sum(entry["rows"] * abs(entry["mean_label"] - entry["mean_prediction"]) for entry in bins) / rows
    return f"they lie {error:.4f} apart on average."


def _group_points(
    members: Sequence[Mapping[str, Any]], lines: Mapping[str | None, int], name: str, number: int, count: int
) -> go.Scatter:
    symbols = ["circle", "square", "diamond", "triangle-up", "triangle-down", "star", "hexagon", "cross"]
    few = count <= _MOST_GROUPS
    return go.Scatter(
        x=report_frames.rounded([group["value"] for group in members]),
        y=[lines[group["silo"]] for group in members],
        mode="markers",
        name=name,
        marker={
            "color": LIGHT[f"group_{number + 1}"] if few else LIGHT["mark"],
            "symbol": symbols[number] if few else "circle",
            "size": 9,
            "line": {"width": 1, "color": LIGHT["page"]},
        },
        text=[f"<b>{name}</b><br>{group['value']:.4f}<br>{group['rows']:,} rows" for group in members],
        hovertemplate="%{text}<extra></extra>",
    )
