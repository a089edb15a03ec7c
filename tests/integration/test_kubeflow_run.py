"""The compiled flights pipeline, its containers' commands run one by one as Kubeflow Pipelines would run them."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from pipelines.flights import kubeflow_runner, pipeline
from tfx.orchestration import data_types
from tfx.utils import path_utils

from tests.integration import flights_run
from tests.kubeflow import cluster as cluster_lib
from tfx_federated import whole_files
from tfx_federated.beam_batch_inferrer import inference_results
from tfx_federated.fairness_evaluator import report
from tfx_federated.kubeflow import compiler

PIPELINE_ROOT = "minio://mlpipeline/v2/artifacts"


class KubeflowRun:
    def __init__(self, folder, data_root):
        self.serving = folder / "serving"
        compiler.compile_pipeline(
            pipeline.create_pipeline(
                pipeline_root="",
                data_root=data_types.RuntimeParameter("data-root", str, kubeflow_runner.DATA_ROOT),
                module_file=kubeflow_runner.MODULE_FILE,
                serving_directory=str(self.serving),
                rounds=data_types.RuntimeParameter("rounds", int, pipeline.ROUNDS),
                minimum_overall_auc=flights_run.MINIMUM_OVERALL_AUC,
                minimum_worst_silo_auc=flights_run.MINIMUM_WORST_SILO_AUC,
            ),
            folder / "flights.yaml",
            images="tfx-federated:1",
        )
        self.cluster = cluster_lib.Cluster(folder)
        parameters = {"data-root": str(data_root), "rounds": flights_run.ROUNDS}
        self.tasks = self.cluster.run(folder / "flights.yaml", PIPELINE_ROOT, parameters)

    def artifact(self, task, key):
        return self.tasks[task].outputs[key]

    def path(self, task, key):
        return self.cluster.path_in_store(self.artifact(task, key)["uri"])


@pytest.fixture(scope="module")
def kubeflow(run, tmp_path_factory):
    return KubeflowRun(tmp_path_factory.mktemp("kubeflow"), run.data_root)


def test_every_task_succeeds(kubeflow):
    assert {task.state for task in kubeflow.tasks.values()} == {"SUCCEEDED"}
    assert len(kubeflow.tasks) == 11


def test_the_model_is_the_one_that_the_local_runner_trains(run, kubeflow):
    model = tf.saved_model.load(path_utils.serving_model_path(str(kubeflow.path("FederatedTrainer", "model"))))
    rows = tf.constant(run.raw_eval_rows())
    (expected,) = run.model.signatures["serving_default"](examples=rows).values()
    (found,) = model.signatures["serving_default"](examples=rows).values()
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_the_blessing_and_the_report_are_those_of_the_local_runner(run, kubeflow):
    assert run.report["blessed"]
    metadata = kubeflow.artifact("FairnessEvaluator", "blessing")["metadata"]
    assert metadata["blessed"] == 1.0
    assert metadata["current_model"] == kubeflow.artifact("FederatedTrainer", "model")["uri"]
    assert metadata["current_model_id"] == kubeflow.artifact("FederatedTrainer", "model")["name"]
    assert (kubeflow.path("FairnessEvaluator", "blessing") / "BLESSED").exists()
    found = report.read(str(kubeflow.path("FairnessEvaluator", "report")))
    assert {**found, "model": None} == {**run.report, "model": None}


def test_the_contributions_are_those_of_the_local_runner(run, kubeflow):
    found = whole_files.read_json(str(kubeflow.path("ContributionEvaluator", "report") / "report.json"))
    assert {**found, "federated_run": None} == {**run.contributions, "federated_run": None}
    page = kubeflow.path("ContributionEvaluator", "report_html").read_text()
    assert page == (kubeflow.path("ContributionEvaluator", "report") / "report.html").read_text()
    metrics = kubeflow.artifact("ContributionEvaluator", "report_metrics")["metadata"]
    assert metrics["silos"] == len(flights_run.CARRIERS)
    assert metrics["gained"] == pytest.approx(run.contributions["contribution"]["gained"], abs=1e-6)


def test_tfma_reads_the_evaluation_and_its_overall_metric_is_the_same(run, kubeflow):
    result = tfma.load_eval_result(str(kubeflow.path("FairnessEvaluator", "evaluation")), model_name="candidate")
    auc = result.get_metrics_for_slice()["auc"]["boundedValue"]
    overall = run.report["overall"]
    assert (auc["value"], auc["lowerBound"]) == pytest.approx((overall["value"], overall["lower"]), abs=1e-12)


def test_the_predictions_are_those_of_the_local_runner(run, kubeflow):
    found, expected = str(kubeflow.path("BeamBatchInferrer", "inference_result")), run.uris["InferenceResult"]
    for silo in flights_run.CARRIERS:
        scores = [
            sorted(inference_results.read_silo(uri, silo)["predictions"].to_pylist()) for uri in (found, expected)
        ]
        assert scores[0] == scores[1]
        assert scores[0]


def test_the_blessed_model_is_pushed(kubeflow):
    (version,) = kubeflow.serving.iterdir()
    assert (version / "saved_model.pb").exists()
    assert kubeflow.artifact("Pusher", "pushed_model")["metadata"]["pushed"] == 1.0


def test_the_user_interface_gets_the_report_and_the_numbers(run, kubeflow):
    page = kubeflow.path("FairnessEvaluator", "report_html").read_text()
    assert page == (kubeflow.path("FairnessEvaluator", "report") / "report.html").read_text()
    metrics = kubeflow.artifact("FairnessEvaluator", "report_metrics")["metadata"]
    # ML Metadata keeps six decimals of a number.
    assert metrics["auc_overall"] == pytest.approx(run.report["overall"]["value"], abs=1e-6)
    assert metrics["silos"] == len(flights_run.CARRIERS)
    rounds = kubeflow.path("FederatedTrainer", "federated_run_rounds").read_text()
    assert [line.split("|")[1].strip() for line in rounds.splitlines()[-2:]] == ["1", "2"]
    roc = kubeflow.artifact("FairnessEvaluator", "evaluation_roc")["metadata"]["confidenceMetrics"]["list"]
    counted = {point["confidenceThreshold"]: (point["recall"], point["falsePositiveRate"]) for point in roc}
    scores, labels = run.eval_scores(), run.eval_labels()
    for threshold, (recall, false_positive_rate) in counted.items():
        assert recall == pytest.approx(np.mean(scores[labels == 1] > threshold))
        assert false_positive_rate == pytest.approx(np.mean(scores[labels == 0] > threshold))


def test_no_artifact_carries_a_path_of_the_containers(kubeflow):
    for task in kubeflow.tasks.values():
        for artifact in task.outputs.values():
            assert artifact["uri"].startswith(PIPELINE_ROOT)
            assert str(kubeflow.cluster.scratch) not in json.dumps(artifact)
