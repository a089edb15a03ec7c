"""What a run came to, airline by airline: read from the artifacts of that run, as found in its metadata store."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_metadata
from ml_metadata.proto import metadata_store_pb2
from tfx.utils import path_utils

from tfx_federated import silo_examples, whole_files
from tfx_federated.beam_batch_inferrer import inference_results
from tfx_federated.fairness_evaluator import report as fairness_report

MINIMUM_TEST_ROWS = 50
SMALL_SILO_TRAINING_ROWS = 4000

_RUN_CONTEXT = "pipeline_run"


def artifacts_of_latest_run(metadata_file: str | os.PathLike[str]) -> dict[str, str]:
    """Finds the artifacts that the latest run of a metadata store made, or took from the cache.

    Args:
        metadata_file: SQLite file of a local run.

    Returns:
        The URI of each artifact by the name of its type; of several of one type, the newest.

    Raises:
        ValueError: The store knows no run.
    """
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(metadata_file)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    store = ml_metadata.MetadataStore(config)
    runs = store.get_contexts_by_type(_RUN_CONTEXT)
    if not runs:
        raise ValueError(f"metadata: {metadata_file} knows no pipeline run; run the pipeline first")
    latest = max(runs, key=lambda run: (run.create_time_since_epoch, run.id))
    artifacts = store.get_artifacts_by_context(latest.id)
    return {artifact.type: artifact.uri for artifact in sorted(artifacts, key=lambda artifact: artifact.id)}


def summarise(
    output: str | os.PathLike[str],
    artifacts: Mapping[str, str],
    names: Mapping[str, str],
    pipeline_yaml: str | os.PathLike[str],
    seconds: float,
) -> dict[str, Any]:
    """Reads the artifacts of a run.

    Args:
        output: Folder that paths are given relative to.
        artifacts: What `artifacts_of_latest_run` returned.
        names: What to call each silo, by silo id; a silo without a name goes by its id.
        pipeline_yaml: The compiled pipeline.
        seconds: Wall time of the run.

    Returns:
        JSON values. `rows` (train and eval together), `rounds`, `seconds`, `overall_auc`, `worst_silo` (`name`, `auc`,
        `test_rows`; None if no silo has enough test rows), `small_silo_auc_local` and `small_silo_auc_federated` (means
        over silos below 4,000 training rows with at least 50 test rows and both AUCs), `blessed`, `silos` (`name`,
        `rows` to train on, `test_rows`, `auc_local`, `auc_federated`, `contribution` to the overall AUC; most rows
        first), and the paths `report`, `contribution_report`, `model`, `predictions` (None if the model was not
        applied) and `pipeline_yaml`.

    Raises:
        ValueError: An artifact is not whole.
    """
    report = fairness_report.read(artifacts["tfx_federated.FairnessReport"])
    reader = silo_examples.SiloExamplesReader(artifacts["tfx_federated.SiloExamples"])
    training_rows = {entry.silo: entry.rows for entry in reader.entries("train")}
    contributions = whole_files.read_json(f"{artifacts['tfx_federated.ContributionReport']}/report.json")
    silos = _silos(report, training_rows, _contribution_of_silo(contributions), names)
    predictions = artifacts["InferenceResult"]
    is_scored = inference_results.read_manifest(predictions)["scored"]

    def relative(path: str | os.PathLike[str]) -> str:
        return pathlib.Path(os.path.relpath(path, output)).as_posix()

    return {
        "rows": sum(entry.rows for split in reader.splits for entry in reader.entries(split)),
        "rounds": whole_files.read_json(f"{artifacts['tfx_federated.FederatedRun']}/settings.json")["rounds"],
        "seconds": round(seconds, 1),
        "overall_auc": report["overall"]["value"],
        "worst_silo": _worst_silo(report, names),
        "small_silo_auc_local": _mean([silo["auc_local"] for silo in _small(silos)]),
        "small_silo_auc_federated": _mean([silo["auc_federated"] for silo in _small(silos)]),
        "blessed": report["blessed"],
        "silos": silos,
        "report": relative(pathlib.Path(artifacts["tfx_federated.FairnessReport"], fairness_report.HTML_FILE)),
        "contribution_report": relative(pathlib.Path(artifacts["tfx_federated.ContributionReport"], "report.html")),
        "model": relative(path_utils.serving_model_dir(artifacts["Model"])),
        "predictions": relative(predictions) if is_scored else None,
        "pipeline_yaml": relative(pipeline_yaml),
    }


def _contribution_of_silo(report: Mapping[str, Any]) -> dict[str, float | None]:
    return {silo["name"]: silo["contribution"] and silo["contribution"]["value"] for silo in report["silos"]}


def _silos(
    report: Mapping[str, Any],
    training_rows: Mapping[str, int],
    contributions: Mapping[str, float | None],
    names: Mapping[str, str],
) -> list[dict[str, Any]]:
    silos = [
        {
            "name": names.get(silo["name"], silo["name"]),
            "rows": training_rows.get(silo["name"], 0),
            "test_rows": silo["rows"],
            "auc_local": silo["models"]["local_models"],
            "auc_federated": silo["value"],
            "contribution": contributions.get(silo["name"]),
        }
        for silo in report["silos"]
    ]
    return sorted(silos, key=lambda silo: (-silo["rows"], silo["name"]))


def _worst_silo(report: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any] | None:
    worst = report["worst_silo"]
    if worst is None:
        return None
    return {"name": names.get(worst["name"], worst["name"]), "auc": worst["value"], "test_rows": worst["rows"]}


def _small(silos: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Silos that need the others and that enough test rows tell about; both means are over the same silos."""
    return [
        silo
        for silo in silos
        if silo["rows"] < SMALL_SILO_TRAINING_ROWS
        and silo["test_rows"] >= MINIMUM_TEST_ROWS
        and silo["auc_local"] is not None
        and silo["auc_federated"] is not None
    ]


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def as_table(summary: Mapping[str, Any]) -> str:
    """Lays a summary out for a terminal, at most 100 columns wide."""
    width = max([len("airline"), *(len(silo["name"]) for silo in summary["silos"])])
    lines = [f"{'airline':<{width}}  train rows  test rows  AUC alone  federated  difference  contribution"]
    lines += [_line(silo, width) for silo in summary["silos"]]
    if any(silo["test_rows"] < MINIMUM_TEST_ROWS for silo in summary["silos"]):
        lines.append(f"* fewer than {MINIMUM_TEST_ROWS} test rows: too few to say")
    worst = summary["worst_silo"]
    lines += [
        "",
        f"AUC over all flights   {_number(summary['overall_auc'])}",
        "worst airline          "
        + ("none has enough test rows" if worst is None else f"{_number(worst['auc'])}  {worst['name']}"),
        f"small airlines, mean   {_number(summary['small_silo_auc_local'])} alone, "
        f"{_number(summary['small_silo_auc_federated'])} federated "
        f"(below {SMALL_SILO_TRAINING_ROWS} training rows, at least {MINIMUM_TEST_ROWS} test rows)",
        f"blessed                {'yes' if summary['blessed'] else 'no'}",
    ]
    return "\n".join(lines)


def _line(silo: Mapping[str, Any], width: int) -> str:
    alone, federated = silo["auc_local"], silo["auc_federated"]
    difference = "-" if alone is None or federated is None else f"{federated - alone:+.3f}"
    contribution = "-" if silo["contribution"] is None else f"{silo['contribution']:+.4f}"
    mark = " *" if silo["test_rows"] < MINIMUM_TEST_ROWS else ""
    return (
        f"{silo['name']:<{width}}  {silo['rows']:>10,}  {silo['test_rows']:>9,}  {_number(alone):>9}  "
        f"{_number(federated):>9}  {difference:>10}  {contribution:>12}{mark}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
