"""The entrypoint on what each release of Kubeflow Pipelines tells a step."""

import json
import pathlib

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components.schema_gen import executor as schema_gen
from tfx.utils import name_utils

from tests.kubeflow import driver, executors, recordings
from tfx_federated.kubeflow import entrypoint, launcher_paths

RELEASES = sorted(driver.RELEASES)
TFX_TYPES = {
    "silo_examples": "SiloExamples",
    "silo_models": "SiloModels",
    "local_models": "SiloModels",
    "examples": "Examples",
    "model": "Model",
    "model_blessing": "ModelBlessing",
    "blessing": "ModelBlessing",
    "evaluation": "ModelEvaluation",
    "inference_result": "InferenceResult",
    "transform_graph": "TransformGraph",
    "statistics": "ExampleStatistics",
    "pushed_model": "PushedModel",
}


@pytest.fixture(scope="module")
def specification():
    return recordings.specification()


class Step:
    """One recorded executor input, run through the entrypoint by an executor that writes down what it gets."""

    def __init__(self, release, name, specification, folder, monkeypatch, executor=executors.Record):
        monkeypatch.setenv(launcher_paths.ROOT_VARIABLE, str(folder))
        monkeypatch.setenv(executors.RECORD_VARIABLE, str(folder / "record.json"))
        self.told = json.loads((recordings.FOLDER / release / f"{name}.json").read_text())
        self.output_file = folder / "kfp_outputs" / "output_metadata.json"
        self.told["outputs"]["outputFile"] = str(self.output_file)
        component = "StatisticsGen" if name == "every_kind_of_metadata" else name
        self.arguments = [
            *("--executor_class_path", name_utils.get_full_name(executor)),
            *("--json_serialized_invocation_args", json.dumps(self.told)),
            "--json_serialized_inputs_spec_args",
            json.dumps(specification["components"][component]["inputDefinitions"]),
            "--runner=unused",
        ]
        self.folder = folder

    def run(self):
        assert entrypoint.main(self.arguments) == 0
        return json.loads((self.folder / "record.json").read_text())

    def told_artifacts(self, side):
        return {key: artifacts["artifacts"][0] for key, artifacts in self.told[side]["artifacts"].items()}

    def answers(self):
        message = json_format.Parse(self.output_file.read_text(), pipeline_spec_pb2.ExecutorOutput())
        answered = json_format.MessageToDict(message)["artifacts"]
        return {key: artifacts["artifacts"][0] for key, artifacts in answered.items()}


@pytest.mark.parametrize("release", RELEASES)
def test_the_recordings_are_those_of_the_pipeline_as_it_is(release, specification):
    for name, message in recordings.of_release(release, specification).items():
        recorded = json.loads((recordings.FOLDER / release / f"{name}.json").read_text())
        assert recorded == message, "run python -m tests.kubeflow.recordings"


@pytest.mark.parametrize("name", recordings.RECORDED)
@pytest.mark.parametrize("release", RELEASES)
def test_an_executor_gets_typed_artifacts_at_the_launchers_paths(release, name, specification, tmp_path, monkeypatch):
    step = Step(release, name, specification, tmp_path, monkeypatch)
    record = step.run()
    told = step.told_artifacts("inputs") if "artifacts" in step.told["inputs"] else {}
    assert record["inputs"].keys() == told.keys()
    for key, artifact in told.items():
        (got,) = record["inputs"][key]
        assert got["type"] == TFX_TYPES[key]
        assert got["uri"] == f"{tmp_path}{driver.local_path(artifact['uri'])}"
    outputs = specification["components"][name]["outputDefinitions"]["artifacts"]
    tfx_outputs = {key for key, output in outputs.items() if "instanceSchema" in output["artifactType"]}
    assert record["outputs"].keys() == tfx_outputs
    assert record["properties"].keys() == step.told["inputs"].get("parameterValues", {}).keys()


@pytest.mark.parametrize("release", RELEASES)
def test_the_answer_names_uris_and_not_paths(release, specification, tmp_path, monkeypatch):
    step = Step(release, "Pusher", specification, tmp_path, monkeypatch)
    step.run()
    model, own = step.told_artifacts("inputs")["model"], step.told_artifacts("outputs")["pushed_model"]["uri"]
    (answer,) = step.answers().values()
    assert answer["uri"] == own
    assert answer["metadata"]["own"] == f"{own}/file"
    assert answer["metadata"]["many"] == [own, 1.5]
    assert answer["metadata"]["whole"] == 3.0
    assert answer["metadata"]["current_model"] == model["uri"]
    assert answer["metadata"]["current_model_id"] == model["name"]
    assert "nothing" not in answer["metadata"], "the launcher fails on null"
    assert str(tmp_path) not in step.output_file.read_text()


@pytest.mark.parametrize("release", RELEASES)
def test_a_blessing_keeps_its_properties(release, specification, tmp_path, monkeypatch):
    step = Step(release, "Pusher", specification, tmp_path, monkeypatch)
    record = step.run()
    ((blessing,), (model,)) = (record["inputs"][key] for key in ("model_blessing", "model"))
    assert blessing["properties"]["blessed"] == 1.0
    assert blessing["properties"]["current_model"] == model["uri"]


@pytest.mark.parametrize("release", RELEASES)
def test_every_kind_of_metadata_comes_back_as_it_was_written(release, specification, tmp_path, monkeypatch):
    step = Step(release, "every_kind_of_metadata", specification, tmp_path, monkeypatch)
    (examples,) = step.run()["inputs"]["examples"]
    expected = {key: recordings.EVERY_KIND[key] for key in ("text", "whole", "half", "list", "dictionary")}
    assert {key: examples["properties"][key] for key in expected} == expected
    # ML Metadata has no booleans.
    assert examples["properties"]["true"] in (True, 1.0)
    assert examples["properties"]["foreign_uri"] == recordings.EVERY_KIND["foreign_uri"]


@pytest.mark.parametrize("release", RELEASES)
def test_a_stock_component_runs(release, specification, tmp_path, monkeypatch):
    """SchemaGen reads the statistics of CsvExampleGen's rows: the recorded input with real files behind it."""
    statistics = json.loads((recordings.FOLDER / release / "StatisticsGen.json").read_text())["outputs"]["artifacts"]
    uri = statistics["statistics"]["artifacts"][0]["uri"]
    step = Step(release, "StatisticsGen", specification, tmp_path, monkeypatch, executor=schema_gen.Executor)
    folder = pathlib.Path(f"{tmp_path}{driver.local_path(uri)}") / "Split-train"
    folder.mkdir(parents=True)
    write_statistics(folder / "FeatureStats.pb")
    inputs_spec = specification["components"]["SchemaGen"]["inputDefinitions"]
    schema_uri = uri.replace("StatisticsGen", "SchemaGen").replace("statistics", "schema")
    schema_type = specification["components"]["SchemaGen"]["outputDefinitions"]["artifacts"]["schema"]["artifactType"]
    examples = step.told["inputs"]["artifacts"]["examples"]["artifacts"][0]
    step.told["inputs"] = {
        "artifacts": {
            "statistics": {"artifacts": [{**examples, "uri": uri, "metadata": {"split_names": '["train"]'}}]}
        },
        "parameterValues": {"exclude_splits": "[]", "infer_feature_shape": 0},
    }
    step.told["outputs"]["artifacts"]["schema"] = {"artifacts": [{"uri": schema_uri, "type": schema_type}]}
    del step.told["outputs"]["artifacts"]["statistics"]
    step.arguments[3], step.arguments[5] = json.dumps(step.told), json.dumps(inputs_spec)
    assert entrypoint.main(step.arguments) == 0
    schema = pathlib.Path(f"{tmp_path}{driver.local_path(schema_uri)}") / "schema.pbtxt"
    assert 'name: "distance"' in schema.read_text()
    assert step.answers()["schema"]["uri"] == schema_uri


def write_statistics(file):
    import pandas as pd
    import tensorflow_data_validation as tfdv

    statistics = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"distance": [1.0, 2.0]}))
    file.write_bytes(statistics.SerializeToString())


def test_an_input_without_a_type_anywhere_is_named(specification, tmp_path, monkeypatch, capsys):
    step = Step("2.5.0", "StatisticsGen", specification, tmp_path, monkeypatch)
    step.arguments[5] = json.dumps({"artifacts": {"other": {}}})
    assert entrypoint.main(step.arguments) == 1
    message = capsys.readouterr().err
    assert "input 'examples' has no type" in message
    assert "['other']" in message
    assert not step.output_file.exists()


def test_broken_json_is_named(specification, tmp_path, monkeypatch, capsys):
    step = Step("2.5.0", "StatisticsGen", specification, tmp_path, monkeypatch)
    step.arguments[3] = "{"
    assert entrypoint.main(step.arguments) == 1
    assert "--json_serialized_invocation_args is not the JSON of a ExecutorInput" in capsys.readouterr().err


def test_inputs_and_parameters_that_nothing_feeds_are_not_there(specification, tmp_path, monkeypatch):
    step = Step("2.5.0", "BeamBatchInferrer", specification, tmp_path, monkeypatch)
    step.told["inputs"]["artifacts"]["model_blessing"] = {"artifacts": []}
    step.told["inputs"]["parameterValues"]["splits"] = None
    step.arguments[3] = json.dumps(step.told)
    record = step.run()
    assert "model_blessing" not in record["inputs"]
    assert "splits" not in record["properties"]


def test_a_custom_path_is_honoured(specification, tmp_path, monkeypatch):
    step = Step("2.5.0", "StatisticsGen", specification, tmp_path, monkeypatch)
    step.told["inputs"]["artifacts"]["examples"]["artifacts"][0]["customPath"] = "/elsewhere/examples"
    step.arguments[3] = json.dumps(step.told)
    (examples,) = step.run()["inputs"]["examples"]
    assert examples["uri"] == "/elsewhere/examples"


def test_an_executor_that_fails_leaves_no_answer(specification, tmp_path, monkeypatch):
    step = Step("2.5.0", "StatisticsGen", specification, tmp_path, monkeypatch)
    monkeypatch.setenv(executors.RECORD_VARIABLE, str(tmp_path / "missing" / "record.json"))
    with pytest.raises(FileNotFoundError):
        entrypoint.main(step.arguments)
    assert not step.output_file.exists()
