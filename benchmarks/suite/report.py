"""Writes what the questions came to: a page for people, Parquet and JSON for programs."""

from __future__ import annotations

import dataclasses
import html
import importlib.metadata
import json
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.io
import plotly.offline
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.suite import answers
from tfx_federated import tff_process

PARQUET_FILE = "results.parquet"
JSON_FILE = "run.json"
HTML_FILE = "report.html"
_PACKAGES = ("tfx", "tensorflow", "tensorflow-model-analysis", "numpy", "scipy", "pandas", "pyarrow")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b2229; max-width: 1180px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid #e6e9ed; vertical-align: top }
div.table { overflow-x: auto }
p.quiet { color: #5c6670 }
"""


def write(
    folder: pathlib.Path, found: Sequence[answers.Answer], manifests: Sequence[str], run: Mapping[str, Any]
) -> None:
    """Writes all files.

    Args:
        folder: Where to write; older files of these names are replaced.
        found: The answers.
        manifests: JSON text of every population's manifest, with its checksum.
        run: JSON values: machine, commit, scale, seeds, seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = [dataclasses.asdict(record) for answer in found for record in answer.records]
    pq.write_table(pa.Table.from_pylist(records, schema=answers.RECORDS), folder / PARQUET_FILE)
    described = {
        **run,
        "versions": {"python": platform.python_version(), "tensorflow-federated": tff_process.TFF_VERSION}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "manifests": [json.loads(manifest) for manifest in manifests],
        "answers": {
            answer.question: {"sentences": list(answer.sentences), "table": answer.table.to_dict("records")}
            for answer in found
        },
    }
    (folder / JSON_FILE).write_text(json.dumps(described, indent=1), "utf-8")
    (folder / HTML_FILE).write_text(page(found, described), "utf-8")


def page(found: Sequence[answers.Answer], described: Mapping[str, Any]) -> str:
    """Returns the page: one file that loads nothing.

    Args:
        found: The answers.
        described: The content of the JSON file.
    """
    machine = described["machine"]
    about = (
        f"Scale {described['scale']}, seeds {', '.join(map(str, described['seeds']))}; {machine['cores']} cores of "
        f"{machine['processor']}, commit {machine['commit']}"
        f"{' with uncommitted changes' if machine['uncommitted_changes'] else ''}; "
        f"{described['seconds']:.0f} s, {described['trainings']} trainings."
    )
    sections = "\n".join(_section(answer) for answer in found)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Cross-silo benchmark suite</title><style>{_STYLE}</style>
<script>{plotly.offline.get_plotlyjs()}</script></head><body>
<h1>Cross-silo benchmark suite</h1>
<p class="quiet">{html.escape(about)}</p>
<p>A number with bounds has a 95 % confidence interval behind it; over several seeds the mean of the values stands
between the lowest and the highest bound. "Gains" and "loses" are said where the bounds do not hold 0.</p>
{sections}
</body></html>
"""


def _section(answer: answers.Answer) -> str:
    sentences = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in answer.sentences)
    table = answer.table.to_html(index=False, border=0, na_rep="-")
    figure = plotly.io.to_html(
        answer.figure,
        full_html=False,
        include_plotlyjs=False,
        div_id=answer.question,
        config={"displayModeBar": False, "responsive": True},
    )
    return f"<h2>{html.escape(answer.title)}</h2>\n<div class='table'>{table}</div>\n{figure}\n<ul>{sentences}</ul>"
