"""The fairness report: its content as JSON and Parquet for programs, and as one HTML page for people."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

import markupsafe
import pandas as pd
import plotly.graph_objects as go
import tensorflow as tf
from tfx.dsl.io import fileio

from tfx_federated import whole_files
from tfx_federated.fairness_evaluator import figures, report_frames
from tfx_federated.report_pages import pages

SCHEMA = 2
HTML_FILE = "report.html"
JSON_FILE = "report.json"
PARQUET_FILE = "silos.parquet"

_STATIC_SILOS = 50
_ROWS_OF_A_LIST = 20

_EVIDENCE = {
    "too_few_rows": "too few rows to say",
    "too_few_positives": "too few positives to say",
    "too_few_negatives": "too few negatives to say",
    "undefined": "undefined",
}
_STATISTICS = {
    "mean": ("Mean", "each silo counts once"),
    "row_weighted_mean": ("Mean, weighted by rows", "each row counts once"),
    "size_bias": ("Size bias", "mean minus weighted mean"),
    "worst_silo": ("Worst silo", ""),
    "worst_decile": ("Worst 10 %", "mean of the worst tenth of the silos"),
    "best_decile": ("Best 10 %", "mean of the best tenth of the silos"),
    "best_silo": ("Best silo", ""),
    "largest_gap": ("Largest gap", "between the best and the worst silo"),
    "variance": ("Variance", "0: all silos alike"),
    "gini_of_error": ("Gini index of the error", "0: all silos alike"),
    "jain_of_error": ("Jain index of the error", "1: all silos alike"),
    "size_correlation": ("Correlation with size", "Spearman; above 0: larger silos have higher values"),
    "share_worse_than_overall": ("Share of worse silos", "worse than all rows together"),
}


def write(uri: str, content: Mapping[str, Any]) -> None:
    """Writes `silos.parquet`, `report.html` and `report.json`; the last says that the report is complete.

    Args:
        uri: Folder of the report.
        content: The content, as `report_schema.json` describes it.
    """
    silos = report_frames.silos(content)
    fileio.makedirs(uri)
    # Nobody reads it before report.json is there, so it need not appear at once.
    with fileio.open(f"{uri}/{PARQUET_FILE}", "wb") as file:
        file.write(silos.to_parquet(index=False))
    whole_files.write_text(f"{uri}/{HTML_FILE}", _render(content, silos))
    # Not indented: with 100,000 silos the white space would be most of the file.
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    whole_files.write_text(f"{uri}/{JSON_FILE}", text + "\n")


def read(uri: str) -> dict[str, Any]:
    """Reads the content of a FairnessReport artifact.

    Raises:
        ValueError: The report is of another schema than this version reads, or was never finished.
    """
    try:
        content = whole_files.read_json(f"{uri}/{JSON_FILE}")
    except (OSError, tf.errors.OpError, ValueError) as error:
        raise ValueError(
            f"fairness report at {uri} is missing or broken ({error}); run FairnessEvaluator again"
        ) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"fairness report at {uri} has schema {schema!r}; this version reads {SCHEMA}: run FairnessEvaluator "
            "again, or read the report with the version of tfx-federated that wrote it"
        )
    return content


def render(content: Mapping[str, Any]) -> str:
    """Returns the report as one HTML page that loads nothing; every text in it is escaped."""
    return _render(content, report_frames.silos(content))


def _render(content: Mapping[str, Any], silos: pd.DataFrame) -> str:
    ordered = _worst_first(silos, content["higher_is_better"])
    drawn = _figures(content, silos)
    return (
        pages.environment()
        .from_string(_resource("report.html.jinja"))
        .render(
            report=content,
            percent=f"{content['confidence'] * 100:g} %",
            headline=_headline(content),
            summary=_summary(content),
            statistics=_STATISTICS,
            evidence_in_words=_EVIDENCE,
            model_in_words=figures.model_in_words,
            silos=[content["silos"][place] for place in ordered.index[:_STATIC_SILOS]],
            unsaid=_unsaid(content),
            most=_ROWS_OF_A_LIST,
            scale=_Scale.of(content),
            silo_data=pages.embedded(_columns(content, ordered)),
            script=markupsafe.Markup(_resource("report.js")),
            **pages.parts(drawn),
        )
    )


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _figures(content: Mapping[str, Any], silos: pd.DataFrame) -> dict[str, go.Figure]:
    drawn = {}
    if silos.value.notna().any():
        drawn["metric_by_size"] = figures.metric_by_size(content, silos)
    if content["across_silos"]["silos"] > 1:
        drawn["distribution"] = figures.distribution(content, silos)
    models = report_frames.models_with_gains(content)
    for place, comparison in enumerate(content["comparisons"]):
        if comparison["silos"] and comparison["model"] in models:
            drawn[f"benefit-{place}"] = figures.benefit(content, silos, comparison["model"])
    if content["calibration"]:
        drawn["calibration"] = figures.calibration(content)
    for place, sliced in enumerate(content["slices"]):
        if sliced["gaps"]:
            drawn[f"groups-{place}"] = figures.groups(content, place)
    return drawn


def _worst_first(silos: pd.DataFrame, higher_is_better: bool) -> pd.DataFrame:
    """Returns the silos of which most must be known first: the worst, and those with too little evidence last."""
    keys = pd.DataFrame(
        {
            "few": silos.evidence != "enough",
            "value": silos.value if higher_is_better else -silos.value,
            "name": silos["name"],
        }
    )
    return silos.loc[keys.sort_values(["few", "value", "name"], na_position="last").index]


class _Scale:
    """Where a value stands in the small plots of the table, in percent of their width."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> _Scale:
        claimed = [silo for silo in content["silos"] if silo["evidence"] == "enough"]
        values = [silo[name] for silo in claimed for name in ("value", "lower", "upper") if silo[name] is not None]
        values += [content["overall"]["value"]] if content["overall"]["value"] is not None else []
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        margin = (high - low) * 0.03 or 0.5
        return cls(low - margin, high + margin)

    def place(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def _columns(content: Mapping[str, Any], silos: pd.DataFrame) -> dict[str, Any]:
    """Returns what the page's table shows, column by column: names of keys once instead of once per silo."""
    scale = _Scale.of(content)
    numbers = ("value", "lower", "upper", "difference_to_overall")
    gains = [
        {
            "words": figures.model_in_words(model),
            "verdict": _objects(silos[f"{model}_gain_verdict"]),
            "gain": report_frames.rounded(silos[f"{model}_gain"]),
            "lower": report_frames.rounded(silos[f"{model}_gain_lower"]),
            "upper": report_frames.rounded(silos[f"{model}_gain_upper"]),
        }
        for model in report_frames.models_with_gains(content)
    ]
    return {
        "overall": content["overall"]["value"],
        "low": scale.low,
        "high": scale.high,
        "evidenceInWords": _EVIDENCE,
        "name": silos["name"].tolist(),
        "rows": silos.rows.tolist(),
        "positives": _objects(silos.positives),
        "evidence": silos.evidence.tolist(),
        **{name: report_frames.rounded(silos[name]) for name in numbers},
        "bias": report_frames.rounded(silos.mean_prediction - silos.mean_label),
        "gains": gains,
    }


def _objects(column: pd.Series) -> list[Any]:
    return list(column.astype(object).where(column.notna(), None))


def _unsaid(content: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Returns why nothing is said about some silos: the reason, the silos, and their rows."""
    reasons = []
    for evidence, words in _EVIDENCE.items():
        rows = [silo["rows"] for silo in content["silos"] if silo["evidence"] == evidence]
        if rows:
            reasons.append((words, len(rows), sum(rows)))
    return reasons


def _headline(content: Mapping[str, Any]) -> str:
    rules = content["rules"]
    if not rules:
        return "Not blessed: no rule was given"
    undecided = sum(rule["verdict"] == "undecided" for rule in rules)
    if content["blessed"]:
        words = "its rule" if len(rules) == 1 else f"all of its {len(rules)} rules"
        aside = f"; {undecided} could not be decided and {_counts(undecided)} as passed" if undecided else ""
        return f"Blessed: the model passes {words}{aside}"
    failed = sum(not rule["passed"] for rule in rules)
    refused = sum(rule["verdict"] == "undecided" and not rule["passed"] for rule in rules)
    aside = f"; {refused} of these could not be decided" if refused else ""
    return f"Not blessed: the model fails {failed} of {len(rules)} {'rule' if len(rules) == 1 else 'rules'}{aside}"


def _counts(silos: int) -> str:
    return "counts" if silos == 1 else "count"


def _summary(content: Mapping[str, Any]) -> str:
    metric, overall, worst = content["metric"], content["overall"], content["worst_silo"]
    told, silos = content["across_silos"]["silos"], len(content["silos"])
    first = f"Over all {content['rows']:,} rows, {metric} is {pages.number(overall['value'])}."
    if worst is None:
        return f"{first} No silo has enough rows to say how it fares."
    among = f"the {told:,} silos" if told == silos else f"the {told:,} of {silos:,} silos with enough rows"
    return f"{first} Among {among}, the worst has {pages.number(worst['value'])} ({pages.interval(worst)})."
