import json
import pathlib

import ml_metadata
import pytest
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from pipelines.flights import summary
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_artifacts

from tfx_federated import artifacts, whole_files
from tfx_federated.silo_partitioner import executor

FN_API_RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
TRAINING_ROWS = {"AS": 20, "HA": 6, "OO": 2}


def _silo(name, rows, value, local):
    return {"name": name, "rows": rows, "value": value, "models": {"local_models": local}}


REPORT = {
    "schema": 2,
    "overall": {"value": 0.7},
    "worst_silo": {"name": "HA", "value": 0.6, "rows": 60},
    "blessed": True,
    "silos": [
        _silo("AS", 80, 0.8, 0.7),
        _silo("HA", 60, 0.6, 0.4),
        _silo("OO", 49, 1.0, 0.1),
        _silo("ZZ", 70, 0.5, None),
    ],
}


CONTRIBUTIONS = {
    "silos": [
        {"name": "AS", "contribution": {"value": 0.15}},
        {"name": "HA", "contribution": {"value": -0.01}},
        {"name": "OO", "contribution": None},
    ]
}


def _write_examples(folder):
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    for split, factor in (("train", 1), ("eval", 2)):
        (folder / f"Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / f"Split-{split}" / "examples")) as writer:
            for silo, rows in TRAINING_ROWS.items():
                example = tf.train.Example()
                example.features.feature["carrier"].bytes_list.value.append(silo.encode())
                for _ in range(rows * factor):
                    writer.write(example.SerializeToString())
    return examples


def _partition(examples, uri):
    silo_examples = artifacts.SiloExamples()
    silo_examples.uri = str(uri)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=[FN_API_RUNNER], tmp_dir=str(uri.parent / "temporary"), unique_id="1"
    )
    executor.Executor(context).Do(
        {"examples": [examples]},
        {"silo_examples": [silo_examples]},
        {
            "silo_key": "carrier",
            "splits": None,
            "minimum_rows": 1,
            "shards": 1,
            "rows_without_silo": "error",
            "maximum_malformed_share": 0.0,
        },
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    _partition(_write_examples(folder / "examples"), folder / "silo_examples")
    for name in ("report", "contribution_report", "run", "predictions"):
        (folder / name).mkdir()
    whole_files.write_json(str(folder / "report" / "report.json"), REPORT)
    whole_files.write_json(str(folder / "contribution_report" / "report.json"), CONTRIBUTIONS)
    whole_files.write_json(str(folder / "predictions" / "_manifest.json"), {"scored": True})
    whole_files.write_json(str(folder / "run" / "settings.json"), {"rounds": 2})
    (folder / "model" / "Format-Serving").mkdir(parents=True)
    return folder


@pytest.fixture
def uris(output):
    return {
        "tfx_federated.SiloExamples": str(output / "silo_examples"),
        "tfx_federated.FederatedRun": str(output / "run"),
        "tfx_federated.FairnessReport": str(output / "report"),
        "tfx_federated.ContributionReport": str(output / "contribution_report"),
        "Model": str(output / "model"),
        "InferenceResult": str(output / "predictions"),
    }


@pytest.fixture
def result(output, uris):
    return summary.summarise(output, uris, {"AS": "Alaska", "HA": "Hawaiian"}, output / "pipeline.yaml", 12.34)


def test_summary_has_exactly_the_promised_keys(result):
    assert set(result) == {
        "rows",
        "rounds",
        "seconds",
        "overall_auc",
        "worst_silo",
        "small_silo_auc_local",
        "small_silo_auc_federated",
        "blessed",
        "silos",
        "report",
        "contribution_report",
        "model",
        "predictions",
        "pipeline_yaml",
    }
    assert (result["rows"], result["rounds"], result["seconds"]) == (28 + 56, 2, 12.3)


def test_silos_join_training_rows_of_the_index_with_aucs_of_the_report(result):
    assert result["silos"] == [
        {"name": "Alaska", "rows": 20, "test_rows": 80, "auc_local": 0.7, "auc_federated": 0.8, "contribution": 0.15},
        {"name": "Hawaiian", "rows": 6, "test_rows": 60, "auc_local": 0.4, "auc_federated": 0.6, "contribution": -0.01},
        {"name": "OO", "rows": 2, "test_rows": 49, "auc_local": 0.1, "auc_federated": 1.0, "contribution": None},
        {"name": "ZZ", "rows": 0, "test_rows": 70, "auc_local": None, "auc_federated": 0.5, "contribution": None},
    ]


def test_small_silo_means_leave_out_silos_with_few_test_rows_or_without_a_local_model(result):
    assert result["small_silo_auc_local"] == pytest.approx((0.7 + 0.4) / 2)
    assert result["small_silo_auc_federated"] == pytest.approx((0.8 + 0.6) / 2)


def test_small_silo_means_leave_out_large_silos(output, uris, monkeypatch):
    monkeypatch.setattr(summary, "SMALL_SILO_TRAINING_ROWS", 20)
    result = summary.summarise(output, uris, {}, output / "pipeline.yaml", 1.0)
    assert (result["small_silo_auc_local"], result["small_silo_auc_federated"]) == (0.4, 0.6)


def test_paths_are_relative_to_the_output_folder(output, result):
    paths = {name: result[name] for name in ("report", "contribution_report", "model", "predictions", "pipeline_yaml")}
    assert paths == {
        "report": "report/report.html",
        "contribution_report": "contribution_report/report.html",
        "model": "model/Format-Serving",
        "predictions": "predictions",
        "pipeline_yaml": "pipeline.yaml",
    }


def test_summary_is_strict_json(result):
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_unscored_inference_result_is_no_prediction(output, uris, tmp_path):
    whole_files.write_json(str(tmp_path / "_manifest.json"), {"scored": False})
    uris["InferenceResult"] = str(tmp_path)
    assert summary.summarise(output, uris, {}, output / "pipeline.yaml", 1.0)["predictions"] is None


def test_table_marks_only_silos_with_too_few_test_rows(result):
    lines = summary.as_table(result).splitlines()
    assert [line.split()[0] for line in lines if line.endswith(" *")] == ["OO"]
    assert "* fewer than 50 test rows: too few to say" in lines
    assert lines[1].split() == ["Alaska", "20", "80", "0.700", "0.800", "+0.100", "+0.1500"]
    assert any("0.550 alone, 0.700 federated" in line for line in lines)


def test_table_of_a_run_without_comparable_silos_shows_dashes(result):
    table = summary.as_table(result | {"worst_silo": None, "small_silo_auc_local": None, "silos": []})
    assert "none has enough test rows" in table
    assert "- alone" in table


def _store(file):
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return ml_metadata.MetadataStore(config)


def _add_run(store, name, uri):
    context_type = store.put_context_type(metadata_store_pb2.ContextType(name="pipeline_run"))
    artifact_type = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
    (context,) = store.put_contexts([metadata_store_pb2.Context(type_id=context_type, name=name)])
    (artifact,) = store.put_artifacts([metadata_store_pb2.Artifact(type_id=artifact_type, uri=uri)])
    store.put_attributions_and_associations(
        [metadata_store_pb2.Attribution(artifact_id=artifact, context_id=context)], []
    )


def test_artifacts_are_those_of_the_latest_run(tmp_path):
    store = _store(tmp_path / "metadata.sqlite")
    _add_run(store, "first", "/models/1")
    _add_run(store, "second", "/models/2")
    assert summary.artifacts_of_latest_run(tmp_path / "metadata.sqlite") == {"Model": "/models/2"}


def test_store_without_a_run_is_refused(tmp_path):
    _store(tmp_path / "metadata.sqlite").put_context_type(metadata_store_pb2.ContextType(name="pipeline_run"))
    with pytest.raises(ValueError, match="knows no pipeline run"):
        summary.artifacts_of_latest_run(pathlib.Path(tmp_path, "metadata.sqlite"))
