"""The fairness report: `report.json` for programs, `report.html` for people, with the same content."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import math
from collections.abc import Sequence
from typing import Any

import jinja2
import tensorflow as tf

from tfx_federated import whole_files
from tfx_federated.fairness_evaluator import gate, scatter, silo_table

SCHEMA = 1
HTML_FILE = "report.html"
JSON_FILE = "report.json"


def content(
    table: silo_table.SiloTable, rules: Sequence[gate.Rule], metric: str, minimum_rows: int, model: str
) -> dict[str, Any]:
    """Returns the report as JSON values (no NaN: what is undefined is None).

    Args:
        table: The evaluation.
        rules: The judged rules.
        metric: Name of the metric.
        minimum_rows: Rows below which nothing is said about a silo.
        model: URI of the judged model.

    Returns:
        A dict with these keys: `schema` (1), `model`, `metric`, `minimum_rows`, `rows`, `rows_without_silo`,
        `overall`, `overall_baseline`, `worst_silo` (`name`, `value`, `rows`; None if no silo has enough rows),
        `mean_over_silos` (each silo with enough rows counts once), `rules` (`name`, `value`, `bound`, `passed`,
        `reason`), `blessed`, and `silos`: `name`, `rows`, `positives`, `value`, `difference_to_overall`, `baseline`,
        `difference_to_baseline`, `local`, `gain` (value minus local), `enough_rows`.
    """
    worst = gate.worst_silo(table.silos, minimum_rows)
    values = [silo.value for silo in silo_table.enough(table.silos, minimum_rows) if silo.value is not None]
    return {
        "schema": SCHEMA,
        "model": model,
        "metric": metric,
        "minimum_rows": minimum_rows,
        "rows": table.overall.rows,
        "rows_without_silo": table.rows_without_silo,
        "overall": table.overall.value,
        "overall_baseline": table.overall.baseline,
        "worst_silo": None if worst is None else {"name": worst.name, "value": worst.value, "rows": worst.rows},
        "mean_over_silos": math.fsum(values) / len(values) if values else None,
        "rules": [dataclasses.asdict(rule) for rule in rules],
        "blessed": gate.blessed(rules),
        "silos": [_silo(silo, table.overall, minimum_rows) for silo in table.silos],
    }


def write(uri: str, report: dict[str, Any], table: silo_table.SiloTable) -> None:
    """Writes `report.html`, then `report.json`, into a folder.

    Args:
        uri: Folder of the report.
        report: What `content` returned.
        table: The evaluation that the report is about, for the plot.
    """
    whole_files.write_text(f"{uri}/{HTML_FILE}", render(report, table))
    whole_files.write_json(f"{uri}/{JSON_FILE}", report)


def read(uri: str) -> dict[str, Any]:
    """Reads the JSON of a FairnessReport artifact.

    Raises:
        ValueError: The report is of another schema than this version reads, or was never finished.
    """
    try:
        report = whole_files.read_json(f"{uri}/{JSON_FILE}")
    except (OSError, tf.errors.OpError, json.JSONDecodeError) as error:
        raise ValueError(
            f"fairness report at {uri} is missing or broken ({error}); run FairnessEvaluator again"
        ) from error
    if report.get("schema") != SCHEMA:
        raise ValueError(f"fairness report at {uri} has schema {report.get('schema')!r}; this version reads {SCHEMA}")
    return report


def render(report: dict[str, Any], table: silo_table.SiloTable) -> str:
    """Returns the report as one HTML page that loads nothing; every text in it is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(number=_number, difference=_difference, count=_count)
    template = importlib.resources.files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    # The silos of which most must be known come first: the worst, and those with too few rows last.
    order = sorted(
        report["silos"],
        key=lambda silo: (not silo["enough_rows"], silo["value"] is None, silo["value"] or 0.0, silo["name"]),
    )
    return environment.from_string(template).render(
        report=report,
        silos=order,
        plot=scatter.lay_out(table, report["minimum_rows"]),
        headline=_headline(report),
        has_baseline=any(silo["baseline"] is not None for silo in order),
        has_local=any(silo["local"] is not None for silo in order),
    )


def _silo(silo: silo_table.SliceMetrics, overall: silo_table.SliceMetrics, minimum_rows: int) -> dict[str, Any]:
    return {
        "name": silo.name,
        "rows": silo.rows,
        "positives": silo.positives,
        "value": silo.value,
        "difference_to_overall": _minus(silo.value, overall.value),
        "baseline": silo.baseline,
        "difference_to_baseline": _minus(silo.value, silo.baseline),
        "local": silo.local,
        "gain": _minus(silo.value, silo.local),
        "enough_rows": silo.rows >= minimum_rows,
    }


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _headline(report: dict[str, Any]) -> str:
    rules = report["rules"]
    if not rules:
        return "Not blessed: no rule was given"
    if report["blessed"]:
        return f"Blessed: the model passes {'its rule' if len(rules) == 1 else f'all of its {len(rules)} rules'}"
    failed = sum(not rule["passed"] for rule in rules)
    return f"Not blessed: the model fails {failed} of {len(rules)} {'rule' if len(rules) == 1 else 'rules'}"


def _number(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def _difference(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")


def _count(value: int | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:,}"
