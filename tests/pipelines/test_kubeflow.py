"""Both pipelines compile to what Kubeflow Pipelines takes."""

import kfp.components
import pytest
import yaml
from pipelines.flights import kubeflow_runner as flights
from pipelines.taxi import kubeflow_runner as taxi

from tfx_federated.kubeflow import compiler

NODES = {
    "BeamBatchInferrer",
    "CsvExampleGen",
    "ExampleValidator",
    "FairnessEvaluator",
    "FederatedTrainer",
    "Pusher",
    "SchemaGen",
    "SiloPartitioner",
    "StatisticsGen",
    "Transform",
}


@pytest.mark.parametrize(("runner", "nodes"), [(flights, NODES | {"ContributionEvaluator"}), (taxi, NODES)])
def test_a_pipeline_compiles_to_a_specification_that_kfp_loads(runner, nodes, tmp_path):
    file = tmp_path / "pipeline.yaml"
    compiler.compile_pipeline(runner.create_kubeflow_pipeline(), file, images="registry/image:1")
    specification = yaml.safe_load(file.read_text())
    assert specification["schemaVersion"] == "2.1.0"
    assert set(specification["root"]["dag"]["tasks"]) == nodes
    executors = specification["deploymentSpec"]["executors"]
    images = {name: executor["container"]["image"] for name, executor in executors.items()}
    assert images == {f"{node}_executor": "registry/image:1" for node in nodes}
    outputs = specification["components"]["SiloPartitioner"]["outputDefinitions"]["artifacts"]
    assert "tfx_federated.SiloExamples" in str(outputs["silo_examples"])
    assert set(kfp.components.load_component_from_file(str(file)).pipeline_spec.components) >= nodes
