"""The page of a contribution report, and the page for one of its silos."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from typing import Any

import markupsafe
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tfx_federated.contribution_evaluator import figures, silo_frame
from tfx_federated.report_pages import pages

_STATIC_SILOS = 200
_FINDINGS_DRAWN = 20
# With fewer, a quantile over silos tells of single ones.
_LEAST_SILOS_FOR_QUANTILES = 5

KINDS = {
    "free_riding": "may ride free",
    "harm": "may do damage",
    "duplicate": "may have another silo's rows",
    "too_few_rows": "has too few rows to add anything",
    "dominance": "decides the aggregate alone",
}


def render(content: Mapping[str, Any]) -> str:
    """Returns the report as one HTML page that loads nothing; every text in it is escaped."""
    silos = silo_frame.silos(content)
    order = silos.sort_values(["contribution", "name"], ascending=[False, True], na_position="last").index
    return _rendered(
        "report.html.jinja",
        _figures(content, silos),
        report=content,
        headline=_headline(content),
        summary=_summary(content),
        kinds=KINDS,
        silos=[content["silos"][place] for place in order[:_STATIC_SILOS]],
        findings_drawn=_FINDINGS_DRAWN,
        silo_data=pages.embedded(_columns(silos.loc[order], content)),
        script=markupsafe.Markup(_resource("report.js")),
    )


def render_sheet(content: Mapping[str, Any], name: str) -> str:
    """Returns the page for one silo: it names no other silo, and shows no number of another.

    Args:
        content: The content of a report.
        name: The silo.

    Raises:
        ValueError: The report has no such silo.
    """
    mine = [silo for silo in content["silos"] if silo["name"] == name]
    if not mine:
        raise ValueError(f"the report has no silo {name!r}; it has {len(content['silos'])} silos")
    silos = silo_frame.silos(content)
    drawn = {"rounds": figures.rounds_of_silo(content, name)} if _has_rounds(content, name) else {}
    return _rendered(
        "sheet.html.jinja",
        drawn,
        report=content,
        silo=mine[0],
        kinds=KINDS,
        findings=[finding for finding in content["findings"] if finding["silo"] == name],
        among=_quantiles(silos),
    )


def _rendered(template: str, drawn: Mapping[str, go.Figure], **values: Any) -> str:
    percent = f"{values['report']['confidence'] * 100:g} %"
    page = pages.environment().from_string(_resource(template))
    return page.render(percent=percent, **values, **pages.parts(drawn))


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _figures(content: Mapping[str, Any], silos: pd.DataFrame) -> dict[str, go.Figure]:
    drawn = {}
    if silos.contribution.notna().any():
        drawn["gave"] = figures.gave(content, silos)
    if content["contribution"] and content["contribution"]["by_round"]:
        drawn["by_round"] = figures.by_round(content)
    for place, comparison in enumerate(content["comparisons"]):
        if silos[f"{comparison['model']}_gain"].notna().any():
            drawn[f"got-{place}"] = figures.got(content, silos, comparison["model"])
            if comparison["balance"]:
                drawn[f"balance-{place}"] = figures.balance(content, silos, comparison["model"])
    for place, finding in enumerate(content["findings"][:_FINDINGS_DRAWN]):
        if figures.has_series(finding):
            drawn[f"finding-{place}"] = figures.evidence(finding)
    return drawn


def _has_rounds(content: Mapping[str, Any], name: str) -> bool:
    by_round = content["contribution"] and content["contribution"]["by_round"]
    return bool(by_round) and any(value is not None for value in by_round["values"][name])


def _headline(content: Mapping[str, Any]) -> str:
    found = {finding["silo"] for finding in content["findings"] if finding["kind"] in ("free_riding", "harm")}
    if not content["tested_silos"]:
        conduct = "No silo could be tested for free riding"
    elif found:
        conduct = f"{len(found)} of {content['tested_silos']:,} silos may ride free or do damage"
    else:
        conduct = f"None of {content['tested_silos']:,} silos is found to ride free or do damage"
    hurt = [comparison for comparison in content["comparisons"] if comparison["baseline"] == "local"]
    if not hurt or not hurt[0]["silos"]:
        return conduct
    return f"{conduct}; {hurt[0]['significantly_hurt']:,} of {hurt[0]['silos']:,} lose significantly by taking part"


def _summary(content: Mapping[str, Any]) -> str:
    contribution, metric = content["contribution"], content["utility"]["metric"]
    if contribution is None:
        return "What the silos gave could not be computed."
    held = contribution["silos_for_half"]
    half = f" {held:,} of {len(content['silos']):,} silos hold half of what was given." if held else ""
    if contribution["gained"] is None:
        return f"Contributions by {contribution['method']['type']} are no shares of a gain.{half}"
    return f"Training changed {metric} on the held-out rows by {pages.signed(contribution['gained'])}.{half}"


def _quantiles(silos: pd.DataFrame) -> dict[str, list[float]]:
    """Returns the lower quartile, median and upper quartile over silos of what a sheet compares with."""
    among = {}
    for column in silos.columns:
        is_number = column == "contribution" or column.endswith("_gain")
        known = silos[column].dropna() if is_number else pd.Series(dtype="float64")
        if len(known) >= _LEAST_SILOS_FOR_QUANTILES:
            among[column] = np.quantile(known.to_numpy(float), [0.25, 0.5, 0.75]).tolist()
    return among


def _columns(silos: pd.DataFrame, content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the page's table shows, column by column: names of keys once instead of once per silo."""
    numbers = ["rows", "weight_share", "contribution", "contribution_share", "suspicion"]
    gains = [
        {
            "title": f"{comparison['model']} over {comparison['baseline']}",
            "gain": _objects(silos[f"{comparison['model']}_gain"]),
            "verdict": silos[f"{comparison['model']}_gain_verdict"].tolist(),
        }
        for comparison in content["comparisons"]
    ]
    return {
        "name": silos["name"].tolist(),
        **{name: _objects(silos[name]) for name in numbers},
        "gains": gains,
        "findings": silos.findings.tolist(),
        "notes": silos.notes.tolist(),
    }


def _objects(column: pd.Series) -> list[Any]:
    known = column.notna()
    rounded = [float(f"{value:.6g}") if isinstance(value, float) else int(value) for value in column[known].tolist()]
    values = iter(rounded)
    return [next(values) if is_known else None for is_known in known]
