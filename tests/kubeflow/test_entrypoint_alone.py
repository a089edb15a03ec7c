"""The entrypoint in a pipeline that TFX's own runner compiles, as docs/reuse.md shows it."""

import pathlib
import re

from tfx.orchestration import pipeline as tfx_pipeline

from tests.kubeflow import cluster as cluster_lib
from tests.kubeflow import executors

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "reuse.md"


def test_a_pipeline_compiled_by_tfx_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "KubeflowV2DagRunnerConfig" in block]
    namespace = {}
    exec(code, namespace)
    measure = executors.Measure(good=1)
    push = executors.Push(blessing=measure.outputs["blessing"])
    pipeline = tfx_pipeline.Pipeline("alone", "", components=[measure, push])
    namespace["compile_with_tfx"](pipeline, "image:1", str(tmp_path))
    tasks = cluster_lib.InProcessCluster(tmp_path).run(tmp_path / "pipeline.yaml", "s3://bucket/root")
    assert tasks["Push"].outputs["pushed"]["metadata"]["for"] == tasks["Measure"].outputs["blessing"]["uri"]


def test_the_federated_components_of_the_guide_can_be_made(monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "with_federated_training" in block]
    namespace = {}
    exec(code.replace("company_module.py", __file__), namespace)
    partitioner, trainer = namespace["with_federated_training"](Transform())
    assert trainer.inputs["silo_examples"].producer_component_id == partitioner.id


class Transform:
    """Stands for the reader's own Transform: something with outputs."""

    def __init__(self):
        from tfx.types import channel_utils, standard_artifacts

        self.outputs = {
            "transformed_examples": channel_utils.as_channel([standard_artifacts.Examples()]),
            "transform_graph": channel_utils.as_channel([standard_artifacts.TransformGraph()]),
        }
