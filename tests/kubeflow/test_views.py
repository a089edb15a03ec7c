import json

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import standard_artifacts

from tfx_federated import artifacts
from tfx_federated.kubeflow import views


def view(title, suffix):
    (found,) = [each for each in views.VIEWS[title] if each.suffix == suffix]
    return found


def write_rounds(folder, number):
    lines = [
        json.dumps({"round": place, "seconds": 1.0, "loss": 1 / place, "rejected_silos": ["a"] * (place == 2)})
        for place in range(1, number + 1)
    ]
    (folder / "rounds.jsonl").write_text("\n".join(lines) + "\n")


def shown_rounds(folder):
    content = view(artifacts.FederatedRun.TYPE_NAME, "rounds").read(str(folder))
    return [int(line.split("|")[1]) for line in content.text.splitlines() if line[:3].strip("| ").isdigit()]


def test_a_short_training_shows_every_round(tmp_path):
    write_rounds(tmp_path, 3)
    assert shown_rounds(tmp_path) == [1, 2, 3]
    table = view(artifacts.FederatedRun.TYPE_NAME, "rounds").read(str(tmp_path)).text
    assert "| 2 | 1.0000 | 0.5000 | a |" in table


def test_a_training_without_rounds_says_so(tmp_path):
    (tmp_path / "rounds.jsonl").write_text("")
    assert "There was none" in view(artifacts.FederatedRun.TYPE_NAME, "rounds").read(str(tmp_path)).text
    metrics = view(artifacts.FederatedRun.TYPE_NAME, "metrics").read(str(tmp_path))
    assert metrics.metadata == {"rejected_updates": 0}


def test_a_long_training_shows_some_rounds_and_the_last(tmp_path):
    write_rounds(tmp_path, 501)
    shown = shown_rounds(tmp_path)
    assert shown[:2] == [3, 6]
    assert shown[-1] == 501
    assert len(shown) <= 201


def test_the_metrics_of_a_training_are_those_of_its_last_round(tmp_path):
    write_rounds(tmp_path, 4)
    content = view(artifacts.FederatedRun.TYPE_NAME, "metrics").read(str(tmp_path))
    assert content.metadata == {"round": 4, "loss": 0.25, "rejected_updates": 1}


def test_metrics_without_a_value_are_left_out(tmp_path):
    report = {"metric": "auc", "overall": {"value": 0.7, "models": {}}, "worst_silo": None}
    report |= {"across_silos": {"silos": 0, "statistics": {}}}
    report |= {"rows": 10, "silos": [{}, {}], "blessed": False}
    (tmp_path / "report.json").write_text(json.dumps(report))
    content = view(artifacts.FairnessReport.TYPE_NAME, "metrics").read(str(tmp_path))
    assert content.metadata == {"auc_overall": 0.7, "rows": 10, "silos": 2, "blessed": 0}
    assert all(isinstance(value, (int, float)) for value in content.metadata.values())


def test_the_numbers_of_a_contribution_report_are_those_that_are_known(tmp_path):
    report = {"silos": [{}, {}, {}], "findings": [{"silo": "a"}, {"silo": "a"}], "blessed": True}
    report |= {"contribution": {"gained": 0.2, "share_of_largest": 0.6}}
    report |= {"comparisons": [{"model": "federated", "baseline": "local", "significantly_hurt": 1}]}
    (tmp_path / "report.json").write_text(json.dumps(report))
    metrics = view(artifacts.ContributionReport.TYPE_NAME, "metrics")
    numbers = {"silos": 3, "found_silos": 1, "blessed": 1}
    contribution = {"gained": 0.2, "share_of_largest_contribution": 0.6, "hurt_silos_federated_over_local": 1}
    assert metrics.read(str(tmp_path)).metadata == numbers | contribution
    (tmp_path / "report.json").write_text(json.dumps({**report, "contribution": None, "comparisons": []}))
    assert metrics.read(str(tmp_path)).metadata == numbers


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """TFMA on four rows that one can count: labels 0, 0, 1, 1 and scores .1, .6, .4, .9."""
    folder = tmp_path_factory.mktemp("evaluation")
    with tf.io.TFRecordWriter(str(folder / "rows")) as writer:
        for label, score in ((0.0, 0.1), (0.0, 0.6), (1.0, 0.4), (1.0, 0.9)):
            features = {
                name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                for name, value in (("label", label), ("score", score))
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    config = """
      model_specs { label_key: "label" prediction_key: "score" }
      slicing_specs {}
      metrics_specs { metrics { class_name: "ConfusionMatrixAtThresholds" config: '"thresholds": [0.2, 0.5]' } }
    """
    tfma.run_model_analysis(
        eval_config=text_format.Parse(config, config_pb2.EvalConfig()),
        data_location=str(folder / "rows"),
        output_path=str(folder / "output"),
    )
    return folder / "output"


def test_the_roc_points_are_those_of_tfma(evaluation):
    content = view(standard_artifacts.ModelEvaluation.TYPE_NAME, "roc").read(str(evaluation))
    rounded = [
        {name: round(value, 6) for name, value in point.items()} for point in content.metadata["confidenceMetrics"]
    ]
    assert rounded == [
        {"confidenceThreshold": 0.2, "recall": 1.0, "falsePositiveRate": 0.5},
        {"confidenceThreshold": 0.5, "recall": 0.5, "falsePositiveRate": 0.5},
    ]


def test_an_evaluation_has_a_roc_curve_only_if_it_is_configured():
    title = standard_artifacts.ModelEvaluation.TYPE_NAME
    assert views.of_output(title, {"eval_config": '{"className": "AUC"}'}) == []
    (found,) = views.of_output(title, {"eval_config": '{"className": "ConfusionMatrixAtThresholds"}'})
    assert found.suffix == "roc"
