"""Our components in the hands of a kfp user."""

import json
import pathlib
import re

import pytest
import tensorflow as tf
import yaml
from kfp import compiler as kfp_compiler
from kfp import components, dsl

import tfx_federated
from tests.kubeflow import cluster as cluster_lib
from tests.kubeflow import driver
from tfx_federated import command_line, silo_examples
from tfx_federated.kubeflow import component_files

PACKAGE = pathlib.Path(tfx_federated.__file__).parent
NAMES = ("silo_partitioner", "federated_trainer", "fairness_evaluator", "beam_batch_inferrer")
IMAGE = f"tfx-federated:{tfx_federated.__version__}"
EVAL_CONFIG = '{"modelSpecs": [{"labelKey": "late"}], "metricsSpecs": [{"metrics": [{"className": "AUC"}]}]}'


def test_the_files_in_the_package_are_current(tmp_path):
    for written in component_files.write(tmp_path, IMAGE):
        assert (PACKAGE / written.relative_to(tmp_path)).read_text() == written.read_text(), "run `make components`"


@pytest.mark.parametrize("name", NAMES)
def test_kfp_loads_a_file_and_knows_its_types(name):
    component = components.load_component_from_file(str(PACKAGE / name / "component.yaml"))
    assert component.component_spec.name == name.replace("_", "-")
    for artifact in component.component_spec.outputs.values():
        assert re.fullmatch(
            r"system\.(Artifact|Dataset|HTML|Markdown|Metrics|ClassificationMetrics|Model)@0\.0\.1", artifact.type
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_input_is_described(name):
    content = yaml.safe_load((PACKAGE / name / "component.yaml").read_text())
    (component,) = content["components"].values()
    inputs = component["inputDefinitions"]["artifacts"] | component["inputDefinitions"]["parameters"]
    assert {key for key, value in inputs.items() if not value.get("description")} == set()


def test_the_command_writes_the_files_with_the_image_that_it_is_given(tmp_path, capsys):
    assert command_line.main(["components", "--image", "registry.example/a:2", "--output", str(tmp_path)]) == 0
    for name in NAMES:
        content = yaml.safe_load((tmp_path / name / "component.yaml").read_text())
        (executor,) = content["deploymentSpec"]["executors"].values()
        assert executor["container"]["image"] == "registry.example/a:2"
    assert command_line.main(["components", "--image", "registry.example/a", "--output", str(tmp_path)]) == 1
    assert "can be another image tomorrow" in capsys.readouterr().err


@dsl.component(base_image="python:3.11")
def write_examples(examples: dsl.Output[dsl.Dataset]):
    """Stands for a step of the user's own."""


def pipeline():
    load = {name: components.load_component_from_file(str(PACKAGE / name / "component.yaml")) for name in NAMES}

    @dsl.pipeline(name="composed")
    def composed(rounds: int = 3):
        examples = write_examples().outputs["examples"]
        partition = load["silo_partitioner"](examples=examples, silo_key="carrier")
        train = load["federated_trainer"](
            silo_examples=partition.outputs["silo_examples"], module_file="module.py", label_key="late", rounds=rounds
        )
        judge = load["fairness_evaluator"](
            examples=examples, model=train.outputs["model"], silo_key="carrier", eval_config=EVAL_CONFIG
        )
        load["beam_batch_inferrer"](
            examples=examples,
            model=train.outputs["model"],
            model_blessing=judge.outputs["blessing"],
            silo_key="carrier",
        )

    return composed


def test_the_components_compose_with_a_step_of_the_users_own(tmp_path):
    kfp_compiler.Compiler().compile(pipeline(), str(tmp_path / "composed.yaml"))
    tasks = yaml.safe_load((tmp_path / "composed.yaml").read_text())["root"]["dag"]["tasks"]
    assert set(tasks) == {"write-examples", *(name.replace("_", "-") for name in NAMES)}


def test_kfp_refuses_an_artifact_of_another_type():
    partition = components.load_component_from_file(str(PACKAGE / "silo_partitioner" / "component.yaml"))
    train = components.load_component_from_file(str(PACKAGE / "federated_trainer" / "component.yaml"))

    def wrong():
        @dsl.pipeline(name="wrong")
        def composed():
            examples = write_examples().outputs["examples"]
            metrics = partition(examples=examples, silo_key="carrier").outputs["silo_examples_metrics"]
            train(silo_examples=metrics, module_file="module.py", label_key="late")

    with pytest.raises(Exception, match="Incompatible argument"):
        wrong()


@pytest.mark.parametrize("release", driver.RELEASES)
def test_a_component_runs_in_a_pipeline_of_kfp(tmp_path, release):
    """Examples of Kubeflow's type `system.Dataset` in, silo examples of TFX's layout out."""
    partition = components.load_component_from_file(str(PACKAGE / "silo_partitioner" / "component.yaml"))

    @dsl.pipeline(name="partition")
    def composed():
        examples = dsl.importer(
            artifact_uri="minio://bucket/examples",
            artifact_class=dsl.Dataset,
            metadata={"split_names": '["train"]', "payload_format": "FORMAT_TF_EXAMPLE"},
        )
        partition(examples=examples.output, silo_key="carrier", minimum_rows=2)

    kfp_compiler.Compiler().compile(composed, str(tmp_path / "partition.yaml"))
    cluster = cluster_lib.InProcessCluster(tmp_path, release)
    write_rows(cluster.path_in_store("minio://bucket/examples"), ["AA", "AA", "UA", "AA", "UA", "HA"])
    task = cluster.run(tmp_path / "partition.yaml", "minio://bucket/root")["silo-partitioner"]
    reader = silo_examples.SiloExamplesReader(str(cluster.path_in_store(task.outputs["silo_examples"]["uri"])))
    assert {entry.silo: entry.rows for entry in reader.entries("train")} == {"AA": 3, "UA": 2}
    metrics = task.outputs["silo_examples_metrics"]["metadata"]
    assert {name: metrics[name] for name in ("silos", "rows_in", "kept", "below_minimum", "skipped_silos")} == {
        "silos": 2,
        "rows_in": 6,
        "kept": 5,
        "below_minimum": 1,
        "skipped_silos": 1,
    }


def write_rows(folder, carriers):
    (folder / "Split-train").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "Split-train" / "data.gz"), "GZIP") as writer:
        for carrier in carriers:
            value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[carrier.encode()]))
            writer.write(tf.train.Example(features=tf.train.Features(feature={"carrier": value})).SerializeToString())


def test_defaults_are_those_of_the_tfx_component():
    component = components.load_component_from_file(str(PACKAGE / "federated_trainer" / "component.yaml"))
    inputs = component.component_spec.inputs
    assert (inputs["rounds"].default, inputs["batch_size"].default, inputs["server_optimizer"].default) == (
        10,
        32,
        "sgd",
    )
    assert not inputs["label_key"].optional
    assert inputs["evaluation_split"].default == "eval"
    assert json.loads(inputs["custom_config"].default) == {}
