"""The contribution report: its content as JSON and Parquet for programs, and as HTML pages for people."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tfx.dsl.io import fileio

from tfx_federated import whole_files
from tfx_federated.contribution_evaluator import report_page, silo_frame

SCHEMA = 1
HTML_FILE = "report.html"
JSON_FILE = "report.json"
PARQUET_FILE = "silos.parquet"


def write(uri: str, content: Mapping[str, Any]) -> None:
    """Writes `silos.parquet`, `report.html` and `report.json`; the last says that the report is complete.

    Args:
        uri: Folder of the report.
        content: The content, as `report_schema.json` describes it.
    """
    fileio.makedirs(uri)
    # Nobody reads it before report.json is there, so it need not appear at once.
    with fileio.open(f"{uri}/{PARQUET_FILE}", "wb") as file:
        file.write(silo_frame.silos(content).to_parquet(index=False))
    whole_files.write_text(f"{uri}/{HTML_FILE}", report_page.render(content))
    # Not indented: with 100,000 silos the white space would be most of the file.
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    whole_files.write_text(f"{uri}/{JSON_FILE}", text + "\n")


def read(uri: str) -> dict[str, Any]:
    """Reads the content of a ContributionReport artifact.

    Raises:
        ValueError: The report is of another schema than this version reads, or was never finished.
    """
    try:
        content = whole_files.read_json(f"{uri}/{JSON_FILE}")
    except (OSError, tf.errors.OpError, ValueError) as error:
        raise ValueError(
            f"contribution report at {uri} is missing or broken ({error}); run ContributionEvaluator again"
        ) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"contribution report at {uri} has schema {schema!r}; this version reads {SCHEMA}: run "
            "ContributionEvaluator again, or read the report with the version of tfx-federated that wrote it"
        )
    return content


def schema() -> dict[str, Any]:
    """Returns the JSON Schema of the content."""
    return json.loads(importlib.resources.files(__package__).joinpath("report_schema.json").read_text("utf-8"))
