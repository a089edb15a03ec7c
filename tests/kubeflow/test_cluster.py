"""Conditions and caching of a compiled pipeline, as the driver decides them."""

import pytest
from tfx.dsl.experimental.conditionals import conditional
from tfx.orchestration import data_types
from tfx.orchestration import pipeline as tfx_pipeline

from tests.kubeflow import cluster as cluster_lib
from tests.kubeflow import executors
from tfx_federated.kubeflow import compiler


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same pipeline four times in one cluster: blessed, not blessed, blessed again, and with another image."""
    folder = tmp_path_factory.mktemp("cluster")
    cluster = cluster_lib.InProcessCluster(folder)

    def run(image, good):
        measure = executors.Measure(good=data_types.RuntimeParameter("good", int, 1))
        with conditional.Cond(measure.outputs["blessing"].future()[0].custom_property("blessed") == 1):
            push = executors.Push(blessing=measure.outputs["blessing"])
        pipeline = tfx_pipeline.Pipeline("conditional", "", components=[measure, push], enable_cache=True)
        file = folder / "conditional.yaml"
        compiler.compile_pipeline(pipeline, file, images=image)
        return cluster.run(file, "minio://bucket/root", None if good is None else {"good": good})

    return [run("image:1", None), run("image:1", 0), run("image:1", 1), run("image:2", 0)]


def states(run):
    return {name: task.state for name, task in run.items()}


def test_a_task_runs_where_its_condition_holds(runs):
    assert states(runs[0]) == {"Measure": "SUCCEEDED", "Push": "SUCCEEDED"}
    blessing = runs[0]["Measure"].outputs["blessing"]
    assert blessing["metadata"]["blessed"] == 1.0
    assert runs[0]["Push"].outputs["pushed"]["metadata"]["for"] == blessing["uri"]


def test_a_task_is_skipped_where_its_condition_does_not_hold(runs):
    assert states(runs[1]) == {"Measure": "SUCCEEDED", "Push": "SKIPPED"}


def test_an_equal_task_is_not_run_again(runs):
    assert states(runs[2]) == {"Measure": "CACHED", "Push": "CACHED"}
    assert runs[2]["Push"].outputs == runs[0]["Push"].outputs


def test_another_image_is_another_task(runs):
    assert states(runs[3]) == {"Measure": "SUCCEEDED", "Push": "SKIPPED"}
