"""The executor for real: SavedModels, TFXIO, TFMA on Beam."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from sklearn import metrics
from tfx.dsl.input_resolution.strategies import latest_blessed_model_strategy
from tfx.types import standard_artifacts

from tests.tfx_federated.fairness_evaluator.conftest import (
    EVAL_CONFIG,
    SIZES,
    UNKNOWN_TO_LOCAL,
    example,
    examples_artifact,
    model_artifact,
    run,
    save_model,
    weighted,
)
from tfx_federated.fairness_evaluator import report

# TFMA counts predictions between 10,000 thresholds; scikit-learn compares every pair.
AUC_TOLERANCE = 1e-3
WITH_THRESHOLD = EVAL_CONFIG.replace('"AUC"', '"AUC" threshold { value_threshold { lower_bound { value: %s } } }')


@pytest.fixture(scope="module")
def compared(tmp_path_factory, examples, model, baseline, local):
    """A run with all three models."""
    folder = tmp_path_factory.mktemp("compared")
    bounds = {"minimum_overall": 0.55, "minimum_worst_silo": 0.5}
    return run(folder, examples, model, baseline, local, config=WITH_THRESHOLD % 0.6, **bounds)


@pytest.fixture(scope="module")
def values(compared):
    return report.read(compared["report"].uri)


@pytest.fixture(scope="module")
def silos(values):
    return {silo["name"]: silo for silo in values["silos"]}


def test_rows_and_positives_are_exact(values, silos, rows):
    assert {name: silo["rows"] for name, silo in silos.items()} == SIZES
    for name, (_, labels) in rows.items():
        assert silos[name]["positives"] == labels.sum()
    assert (values["rows"], values["rows_without_silo"]) == (sum(SIZES.values()) + 5, 5)


def test_auc_per_silo_and_model_agrees_with_scikit_learn(silos, rows):
    for name in set(SIZES) - {UNKNOWN_TO_LOCAL}:
        x, labels = rows[name]
        assert silos[name]["value"] == pytest.approx(metrics.roc_auc_score(labels, x), abs=AUC_TOLERANCE)
        assert silos[name]["baseline"] == pytest.approx(metrics.roc_auc_score(labels, -x), abs=AUC_TOLERANCE)
        assert silos[name]["local"] == pytest.approx(metrics.roc_auc_score(labels, np.abs(x)), abs=AUC_TOLERANCE)
        assert silos[name]["gain"] == pytest.approx(silos[name]["value"] - silos[name]["local"])


def test_overall_auc_counts_rows_without_a_silo_too(values, rows):
    x = np.concatenate([*(x for x, _ in rows.values()), [0.5, -0.5, 0.1, 0.1, 0.1]])
    labels = np.concatenate([*(labels for _, labels in rows.values()), [1, 0, 1, 1, 1]])
    assert values["overall"] == pytest.approx(metrics.roc_auc_score(labels, x), abs=AUC_TOLERANCE)
    assert values["overall_baseline"] == pytest.approx(metrics.roc_auc_score(labels, -x), abs=AUC_TOLERANCE)


def test_auc_of_one_class_is_undefined_and_not_zero(silos, values):
    assert silos[UNKNOWN_TO_LOCAL]["value"] is None
    assert values["worst_silo"]["name"] in set(SIZES) - {UNKNOWN_TO_LOCAL, "tiny"}


def test_the_evaluation_is_what_tfma_reads(compared, silos):
    uri = compared["evaluation"].uri
    for model, key in (("candidate", "value"), ("baseline", "baseline"), ("local", "local")):
        result = tfma.load_eval_result(uri, model_name=model)
        auc = {dict(where).get("silo"): found[""][""].get("auc") for where, found in result.slicing_metrics if found}
        assert auc["Nord"]["doubleValue"] == silos["Nord"][key]
        assert (UNKNOWN_TO_LOCAL in auc) == (model != "local")
    assert tfma.load_validation_result(uri) is not None


def test_the_blessing_is_what_tfx_reads(compared, model):
    blessing = compared["blessing"]
    assert os.listdir(blessing.uri) == ["BLESSED"]
    assert blessing.get_string_custom_property("current_model") == model.uri
    assert blessing.get_int_custom_property("baseline_model_id") == 12
    newer = model_artifact("/newer", 99)
    inputs = {"model": [model, newer], "model_blessing": [blessing]}
    strategy = latest_blessed_model_strategy.LatestBlessedModelStrategy()
    resolved = strategy._resolve(inputs, "model", "model_blessing")
    assert resolved["model"] == [model]


def test_the_page_is_written_beside_the_json(compared):
    with open(f"{compared['report'].uri}/report.html", encoding="utf-8") as file:
        text = file.read()
    assert "Blessed: the model passes all of its 3 rules" in text
    assert "<script>alert" not in text


def test_a_model_below_bound_and_threshold_is_not_blessed_and_nothing_fails(tmp_path, examples, model, rows):
    outputs = run(
        tmp_path, examples, model, config=WITH_THRESHOLD % 0.99, metric="binary_accuracy", minimum_worst_silo=0.95
    )
    assert os.listdir(outputs["blessing"].uri) == ["NOT_BLESSED"]
    assert outputs["blessing"].get_int_custom_property("blessed") == 0
    assert not tfma.load_validation_result(outputs["evaluation"].uri).validation_ok
    values = report.read(outputs["report"].uri)
    assert values["blessed"] is False
    assert [(rule["name"], rule["passed"]) for rule in values["rules"]] == [
        ("minimum_worst_silo", False),
        ("thresholds", False),
    ]
    assert values["rules"][1]["reason"] == "thresholds in eval_config fail: auc on all rows"
    accuracies = {name: metrics.accuracy_score(labels, x > 0) for name, (x, labels) in rows.items()}
    assert {silo["name"]: silo["value"] for silo in values["silos"]} == pytest.approx(accuracies, abs=1e-9)


def test_integer_silos_example_weights_and_another_signature(tmp_path):
    save_model(f"{tmp_path}/other", weighted(1.0), signature="predict")
    rows = [example(x=1.0, label=1, silo=3, w=2.0), example(x=-1.0, label=1, silo=3, w=1.0)]
    rows += [example(x=1.0, label=1, silo=12, w=1.0)]
    config = EVAL_CONFIG.replace(
        'label_key: "label"', 'label_key: "label" example_weight_key: "w" signature_name: "predict"'
    )
    outputs = run(
        tmp_path,
        few(tmp_path, rows),
        model_artifact(tmp_path / "other"),
        config=config,
        metric="binary_accuracy",
        minimum_rows=1,
        minimum_worst_silo=0.6,
    )
    values = report.read(outputs["report"].uri)
    assert [(silo["name"], silo["rows"], silo["positives"]) for silo in values["silos"]] == [("12", 1, 1), ("3", 2, 2)]
    assert [silo["value"] for silo in values["silos"]] == pytest.approx([1.0, 2 / 3])
    assert values["blessed"]


def few(tmp_path, rows, split="eval"):
    return [examples_artifact(tmp_path / "data", rows, split)]


GOOD = {"x": 0.5, "label": 1, "silo": "a"}


def test_several_splits_count_together_no_rule_blesses_nothing_and_a_missing_split_is_named(tmp_path, model):
    data = [*few(tmp_path, [example(**GOOD)]), examples_artifact(tmp_path / "more", [example(**GOOD)] * 2, "test")]
    outputs = run(tmp_path / "out", data, model, splits=["eval", "test"])
    values = report.read(outputs["report"].uri)
    assert values["rows"] == 3
    assert values["rules"] == []
    assert os.listdir(outputs["blessing"].uri) == ["NOT_BLESSED"]
    with pytest.raises(ValueError, match="no Examples artifact has a split 'train'"):
        run(tmp_path / "other", data, model, splits=["train"])


def test_a_missing_feature_is_named_and_no_value_is_shown(tmp_path, model):
    rows = [example(**GOOD), example(label=1, silo="a", secret="hunter2")]
    with pytest.raises(ValueError, match="feature 'x' is required but missing in some rows") as caught:
        run(tmp_path, few(tmp_path, rows), model)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([example(x=0.5, label=1)], "silo key 'silo' is in no row"),
        (
            [example(x=0.5, label=1, silo="4"), example(x=0.5, label=1, silo=4)],
            "'4' is a string in some rows|int64_list",
        ),
        ([], "hold no row"),
    ],
)
def test_rows_that_cannot_be_evaluated_are_refused(tmp_path, model, rows, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, few(tmp_path, rows), model)


def test_a_candidate_that_predicts_nan_fails_and_its_silos_are_named(tmp_path, examples, local):
    candidate = model_artifact(local.uri, 13, standard_artifacts.Model)
    with pytest.raises(ValueError, match=r"predicts NaN or infinity for .* of these silos: 'one class';"):
        run(tmp_path, examples, candidate)
    assert not tf.io.gfile.exists(f"{tmp_path}/report/report.json")
    assert not os.listdir(tmp_path / "blessing")


def test_a_model_without_the_signature_is_refused(tmp_path, examples, model):
    save_model(f"{tmp_path}/other", weighted(1.0), signature="predict")
    with pytest.raises(ValueError, match=r"no signature 'serving_default', only \['predict'\]"):
        run(tmp_path, examples, model_artifact(tmp_path / "other"))
    with pytest.raises(ValueError, match="baseline_model: there is no SavedModel"):
        run(tmp_path / "2", examples, model, model_artifact(tmp_path / "nothing"))


def test_an_unknown_metric_is_refused_before_anything_runs(tmp_path, examples, model):
    with pytest.raises(ValueError, match=r"metric 'accuracy' is not in eval_config, which computes \['auc'"):
        run(tmp_path, examples, model, metric="accuracy")


@pytest.mark.parametrize("output", ["evaluation", "blessing", "report"])
def test_an_output_folder_in_use_is_refused(tmp_path, examples, model, output):
    (tmp_path / output).mkdir()
    (tmp_path / output / "old").write_text("")
    with pytest.raises(FileExistsError, match=f"output '{output}'"):
        run(tmp_path, examples, model)


def test_the_report_is_strict_json(compared):
    with open(f"{compared['report'].uri}/report.json", encoding="utf-8") as file:
        json.loads(file.read(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
