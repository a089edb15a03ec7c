"""What the Kubeflow UI shows of our artifacts.

The UI draws only artifacts of Kubeflow's own types (`system.HTML`, `system.Markdown`, `system.Metrics`,
`system.ClassificationMetrics`), each made of one file or of metadata. The compiler adds such outputs beside a
component's own, and the entrypoint fills them when the step has ended.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from tfx.dsl.io import fileio
from tfx.types import standard_artifacts

from tfx_federated import artifacts, silo_examples, whole_files

SCHEMA_VERSION = "0.0.1"

_ROUNDS_SHOWN = 200


@dataclasses.dataclass(frozen=True)
class Content:
    """What one view shows.

    Attributes:
        text: The file's text; None for a view made of metadata alone.
        metadata: What the UI reads from the artifact; numbers alone in `system.Metrics`.
    """

    text: str | None = None
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class View:
    """One thing to show of an artifact.

    Attributes:
        suffix: The view of output `x` is output `x_<suffix>`.
        schema_title: Kubeflow's artifact type.
        read: Reads the content from the artifact's folder; None if the artifact has nothing of the kind.
        configured_by: What a component's properties must name for the artifact to have such content; empty for nothing.
    """

    suffix: str
    schema_title: str
    read: Callable[[str], Content | None]
    configured_by: str = ""


def _page(folder: str) -> Content:
    return Content(text=_read_text(os.path.join(folder, "report.html")))


def _fairness_metrics(folder: str) -> Content:
    report = whole_files.read_json(os.path.join(folder, "report.json"))
    metric = report["metric"]
    mean = report["across_silos"]["statistics"].get("mean", {"observed": None})
    metadata = {
        f"{metric}_overall": report["overall"]["value"],
        f"{metric}_mean_over_silos": mean["observed"],
        f"{metric}_overall_baseline": report["overall"]["models"].get("baseline"),
        "rows": report["rows"],
        "silos": len(report["silos"]),
        "blessed": int(report["blessed"]),
    }
    if report["worst_silo"]:
        metadata[f"{metric}_worst_silo"] = report["worst_silo"]["value"]
    return _metrics(metadata)


def _contribution_metrics(folder: str) -> Content:
    report = whole_files.read_json(os.path.join(folder, "report.json"))
    contribution = report["contribution"] or {"gained": None, "share_of_largest": None}
    metadata = {
        "silos": len(report["silos"]),
        "found_silos": len({finding["silo"] for finding in report["findings"]}),
        "gained": contribution["gained"],
        "share_of_largest_contribution": contribution["share_of_largest"],
        "blessed": int(report["blessed"]),
    }
    for comparison in report["comparisons"]:
        metadata[f"hurt_silos_{comparison['model']}_over_{comparison['baseline']}"] = comparison["significantly_hurt"]
    return _metrics(metadata)


def _training_metrics(folder: str) -> Content:
    rounds = _rounds(folder)
    last = rounds[-1] if rounds else {}
    numbers = {name: value for name, value in last.items() if isinstance(value, (int, float))}
    rejected = sum(len(entry["rejected_silos"]) for entry in rounds)
    shown = {name: value for name, value in numbers.items() if name not in ("seconds", "num_batches")}
    return _metrics({**shown, "rejected_updates": rejected})


def _training_rounds(folder: str) -> Content:
    """The rounds as a table; a long training shows every n-th round and the last."""
    rounds = _rounds(folder)
    if not rounds:
        return Content(text="# Rounds\n\nThere was none: the silos fine-tuned a model that was there before.\n")
    step = -(-len(rounds) // _ROUNDS_SHOWN)
    shown = [entry for place, entry in enumerate(rounds, 1) if place % step == 0 or place == len(rounds)]
    names = list(rounds[-1])
    lines = ["| " + " | ".join(names) + " |", "|" + "---:|" * len(names)]
    lines += ["| " + " | ".join(_cell(entry.get(name)) for name in names) + " |" for entry in shown]
    return Content(
        text="# Rounds\n\nMetrics over the training rows of the round's silos.\n\n" + "\n".join(lines) + "\n"
    )


def _partition_metrics(folder: str) -> Content:
    counts = whole_files.read_json(os.path.join(folder, silo_examples.COUNTS_FILE))
    shown = ("silos", "rows_in", "kept", "without_silo", "malformed", "below_minimum", "assigned")
    return _metrics({name: counts[name] for name in shown} | {"skipped_silos": len(counts["skipped_silos"])})


def _roc(folder: str) -> Content | None:
    """The ROC points of all rows, where TFMA's ConfusionMatrixAtThresholds is among the metrics."""
    import tensorflow_model_analysis as tfma

    points = [
        {
            "confidenceThreshold": matrix.threshold,
            "recall": matrix.recall,
            "falsePositiveRate": matrix.false_positives / (matrix.false_positives + matrix.true_negatives),
        }
        for of_slice in tfma.load_metrics(folder)
        if not of_slice.slice_key.single_slice_keys
        for metric in of_slice.metric_keys_and_values
        if metric.key.model_name in ("", "candidate")
        for matrix in metric.value.confusion_matrix_at_thresholds.matrices
        if matrix.false_positives + matrix.true_negatives
    ]
    return Content(metadata={"confidenceMetrics": points}) if points else None


VIEWS: dict[str, tuple[View, ...]] = {
    artifacts.ContributionReport.TYPE_NAME: (
        View("html", "system.HTML", _page),
        View("metrics", "system.Metrics", _contribution_metrics),
    ),
    artifacts.FairnessReport.TYPE_NAME: (
        View("html", "system.HTML", _page),
        View("metrics", "system.Metrics", _fairness_metrics),
    ),
    artifacts.FederatedRun.TYPE_NAME: (
        View("rounds", "system.Markdown", _training_rounds),
        View("metrics", "system.Metrics", _training_metrics),
    ),
    artifacts.SiloExamples.TYPE_NAME: (View("metrics", "system.Metrics", _partition_metrics),),
    standard_artifacts.ModelEvaluation.TYPE_NAME: (
        View("roc", "system.ClassificationMetrics", _roc, configured_by="ConfusionMatrixAtThresholds"),
    ),
}


def of_output(title: str, properties: Mapping[str, Any]) -> list[View]:
    """Returns the views of an output.

    Args:
        title: TFX's type name of the output.
        properties: The component's execution properties.
    """
    text = json.dumps(list(properties.values()), default=str)
    return [view for view in VIEWS.get(title, ()) if view.configured_by in text]


def output_key(of_output: str, view: View) -> str:
    """Returns the output that holds a view of another output."""
    return f"{of_output}_{view.suffix}"


def _rounds(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _read_text(os.path.join(folder, "rounds.jsonl")).splitlines()]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _metrics(values: dict[str, Any]) -> Content:
    return Content(metadata={name: value for name, value in values.items() if value is not None})


def _read_text(path: str) -> str:
    with fileio.open(path, "r") as file:
        return file.read()
