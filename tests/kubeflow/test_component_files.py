"""Our components in the hands of a kfp user."""

import importlib.util
import json
import pathlib
import re
from types import SimpleNamespace

import pytest
import tensorflow as tf
import yaml
from kfp import compiler as kfp_compiler
from kfp import components, dsl
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx.utils import io_utils

import tfx_federated
from tests.kubeflow import cluster as cluster_lib
from tests.tfx_federated.federated_trainer import training_case as case
from tfx_federated import command_line, silo_examples
from tfx_federated.kubeflow import component_files

PACKAGE = pathlib.Path(tfx_federated.__file__).parent
NAMES = ("silo_partitioner", "federated_trainer", "fairness_evaluator", "beam_batch_inferrer")
IMAGE = f"tfx-federated:{tfx_federated.__version__}"
GUIDE = PACKAGE.parents[1] / "docs" / "reuse.md"


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


@pytest.fixture
def guide(tmp_path, monkeypatch):
    """The kfp pipeline of docs/reuse.md, as a module."""
    monkeypatch.chdir(tmp_path)
    component_files.write("my_components", IMAGE)
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "dsl" in block]
    (tmp_path / "guide.py").write_text(code)
    specification = importlib.util.spec_from_file_location("guide", tmp_path / "guide.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_pipeline_of_the_guide_compiles(guide, tmp_path):
    kfp_compiler.Compiler().compile(guide.companies, "companies.yaml")
    tasks = yaml.safe_load((tmp_path / "companies.yaml").read_text())["root"]["dag"]["tasks"]
    assert set(tasks) == {"write-examples", "silo-partitioner", "federated-trainer"}


def test_the_partitioner_takes_what_the_step_of_the_guide_writes(guide, tmp_path):
    cluster = cluster_lib.InProcessCluster(tmp_path)
    written = {
        name: SimpleNamespace(path=str(cluster.path_in_store(f"minio://b/{name}")), metadata={})
        for name in ("examples", "schema")
    }
    guide.write_examples.python_func(**written)

    @dsl.pipeline(name="p")
    def partition_only():
        metadata = written["examples"].metadata
        examples = dsl.importer(artifact_uri="minio://b/examples", artifact_class=dsl.Dataset, metadata=metadata)
        guide.partition(examples=examples.output, silo_key="company")

    kfp_compiler.Compiler().compile(partition_only, "p.yaml")
    task = cluster.run(tmp_path / "p.yaml", "minio://b/root")["silo-partitioner"]
    reader = silo_examples.SiloExamplesReader(str(cluster.path_in_store(task.outputs["silo_examples"]["uri"])))
    assert {entry.silo: entry.rows for entry in reader.entries("train")} == {"a": 2, "b": 1}
    schema = io_utils.parse_pbtxt_file(f"{written['schema'].path}/schema.pbtxt", schema_pb2.Schema())
    assert feature_specs_of(schema) == {"company", "distance", "late"}


def feature_specs_of(schema):
    specification = schema_utils.schema_as_feature_spec(schema).feature_spec
    assert all(isinstance(feature, tf.io.FixedLenFeature) for feature in specification.values())
    return set(specification)


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


ROWS = {"train": case.rows(case.SILOS, 0), "eval": case.rows(case.SILOS, 1)}
CURVE = {"className": "ConfusionMatrixAtThresholds", "config": '"thresholds": [0.5]'}
JUDGED = {"modelSpecs": [{"labelKey": "late"}], "metricsSpecs": [{"metrics": [{"className": "AUC"}, CURVE]}]}


class ComposedRun:
    """All our components in a pipeline of kfp, fed with artifacts of Kubeflow's types."""

    def __init__(self, folder):
        self.cluster = cluster_lib.InProcessCluster(folder)
        case.examples_artifact(self.cluster.path_in_store("minio://bucket/examples"), ROWS)
        case.schema_artifact(self.cluster.path_in_store("minio://bucket/schema"))
        module_file = case.settings(folder)["module_file"]
        load = {name: components.load_component_from_file(str(PACKAGE / name / "component.yaml")) for name in NAMES}

        @dsl.pipeline(name="composed")
        def composed(rounds: int = 10):
            examples = dsl.importer(
                artifact_uri="minio://bucket/examples",
                artifact_class=dsl.Dataset,
                metadata={"split_names": '["train", "eval"]', "payload_format": "FORMAT_TF_EXAMPLE"},
            ).output
            schema = dsl.importer(artifact_uri="minio://bucket/schema", artifact_class=dsl.Artifact).output
            partition = load["silo_partitioner"](examples=examples, silo_key="company", minimum_rows=2)
            train = load["federated_trainer"](
                silo_examples=partition.outputs["silo_examples"],
                schema=schema,
                module_file=module_file,
                label_key="late",
                evaluation_split="",
                rounds=rounds,
            )
            judge = load["fairness_evaluator"](
                examples=examples,
                model=train.outputs["model"],
                silo_key="company",
                eval_config=json.dumps(JUDGED),
                rules=json.dumps([{"type": "Overall", "bound": 0.01}]),
            )
            load["beam_batch_inferrer"](
                examples=examples,
                model=train.outputs["model"],
                model_blessing=judge.outputs["blessing"],
                silo_key="company",
                splits='["eval"]',
            )

        kfp_compiler.Compiler().compile(composed, str(folder / "composed.yaml"))
        self.tasks = self.cluster.run(folder / "composed.yaml", "minio://bucket/root", {"rounds": 2})

    def metadata(self, task, key):
        return self.tasks[task].outputs[key]["metadata"]

    def path(self, task, key):
        return self.cluster.path_in_store(self.tasks[task].outputs[key]["uri"])


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    return ComposedRun(tmp_path_factory.mktemp("composed"))


def test_silo_examples_come_out_of_a_dataset_of_kubeflow(composed):
    reader = silo_examples.SiloExamplesReader(str(composed.path("silo-partitioner", "silo_examples")))
    kept = {silo: rows for silo, rows in case.SILOS.items() if rows >= 2}
    assert {entry.silo: entry.rows for entry in reader.entries("train")} == kept
    metrics = composed.metadata("silo-partitioner", "silo_examples_metrics")
    assert metrics["rows_in"] == 2 * sum(case.SILOS.values())
    assert (metrics["silos"], metrics["skipped_silos"], metrics["below_minimum"]) == (len(kept), 1, 2)


def test_the_parameters_of_the_run_reach_the_trainer(composed):
    assert composed.metadata("federated-trainer", "federated_run_metrics")["round"] == 2
    assert composed.metadata("federated-trainer", "federated_run")["rounds"] == 2


def test_an_output_that_is_not_asked_for_stays_empty(composed):
    assert not composed.path("federated-trainer", "silo_models").exists()
    assert composed.path("federated-trainer", "model").exists()


def test_the_user_interface_gets_report_numbers_and_curve(composed):
    assert "<html" in composed.path("fairness-evaluator", "report_html").read_text()
    metrics = composed.metadata("fairness-evaluator", "report_metrics")
    assert metrics["rows"] == len(ROWS["eval"])
    assert metrics["blessed"] == 1
    ((point,),) = [composed.metadata("fairness-evaluator", "evaluation_roc")["confidenceMetrics"]["list"]]
    assert point["confidenceThreshold"] == 0.5


def test_a_blessed_model_is_applied(composed):
    assert composed.metadata("beam-batch-inferrer", "inference_result")["rows"] == len(ROWS["eval"])


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
