"""The executor for real: SavedModels, TFXIO, TFMA on Beam."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from scipy import stats
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
from tfx_federated.fairness_evaluator import published_silos, report, rules

# TFMA counts predictions between 10,000 thresholds; scikit-learn compares every pair.
AUC_TOLERANCE = 1e-3
WITH_THRESHOLD = EVAL_CONFIG.replace('"AUC"', '"AUC" threshold { value_threshold { lower_bound { value: %s } } }')


@pytest.fixture(scope="module")
def compared(tmp_path_factory, examples, model, baseline, local):
    """A run with all three models."""
    folder = tmp_path_factory.mktemp("compared")
    asked = [rules.Overall(0.55), rules.WorstSilo(0.5), rules.NoSiloWorse(0.2)]
    return run(folder, examples, model, baseline, local, config=WITH_THRESHOLD % 0.6, rules=asked)


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
        assert silos[name]["models"]["baseline"] == pytest.approx(metrics.roc_auc_score(labels, -x), abs=AUC_TOLERANCE)
        assert silos[name]["models"]["local_models"] == pytest.approx(
            metrics.roc_auc_score(labels, np.abs(x)), abs=AUC_TOLERANCE
        )
        gain = silos[name]["gains"]["local_models"]["gain"]
        if silos[name]["evidence"] == "enough":
            assert gain == pytest.approx(
                silos[name]["value"] - silos[name]["models"]["local_models"], abs=AUC_TOLERANCE
            )
        else:
            assert gain is None


def test_overall_auc_counts_rows_without_a_silo_too(values, rows):
    x = np.concatenate([*(x for x, _ in rows.values()), [0.5, -0.5, 0.1, 0.1, 0.1]])
    labels = np.concatenate([*(labels for _, labels in rows.values()), [1, 0, 1, 1, 1]])
    assert values["overall"]["value"] == pytest.approx(metrics.roc_auc_score(labels, x), abs=AUC_TOLERANCE)
    assert values["overall"]["models"]["baseline"] == pytest.approx(
        metrics.roc_auc_score(labels, -x), abs=AUC_TOLERANCE
    )


def test_auc_of_one_class_is_undefined_and_not_zero(silos, values):
    assert silos[UNKNOWN_TO_LOCAL]["value"] is None
    assert values["worst_silo"]["name"] in set(SIZES) - {UNKNOWN_TO_LOCAL, "tiny"}


def test_the_evaluation_is_what_tfma_reads(compared, silos):
    uri = compared["evaluation"].uri
    for model in ("candidate", "baseline", "local_models"):
        result = tfma.load_eval_result(uri, model_name=model)
        auc = {dict(where).get("silo"): found[""][""].get("auc") for where, found in result.slicing_metrics if found}
        nord = silos["Nord"]["value"] if model == "candidate" else silos["Nord"]["models"][model]
        kind = "boundedValue" if model == "candidate" else "doubleValue"
        value = auc["Nord"][kind]
        assert (value["value"] if model == "candidate" else value) == nord
        assert (UNKNOWN_TO_LOCAL in auc) == (model != "local_models")
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
    assert "Blessed" in text
    assert "<script>alert" not in text


def test_a_model_below_bound_and_threshold_is_not_blessed_and_nothing_fails(tmp_path, examples, model, rows):
    outputs = run(
        tmp_path, examples, model, config=WITH_THRESHOLD % 0.99, metric="binary_accuracy", rules=[rules.WorstSilo(0.95)]
    )
    assert os.listdir(outputs["blessing"].uri) == ["NOT_BLESSED"]
    assert outputs["blessing"].get_int_custom_property("blessed") == 0
    assert not tfma.load_validation_result(outputs["evaluation"].uri).validation_ok
    values = report.read(outputs["report"].uri)
    assert values["blessed"] is False
    assert [(rule["rule"], rule["passed"]) for rule in values["rules"]] == [
        ("WorstSilo", False),
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
        rules=[rules.WorstSilo(0.6)],
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


def test_silos_below_the_privacy_minimum_are_one_pool_everywhere(tmp_path, examples, model):
    config = EVAL_CONFIG + 'slicing_specs { feature_values { key: "silo" value: "tiny" } }'
    outputs = run(tmp_path, examples, model, config=config, privacy_minimum=70)
    values = report.read(outputs["report"].uri)
    # The two below 70 would be a pool of two, in which each could see the other: the next smallest joins them.
    pooled = {"tiny", "one class", "<script>alert(1)</script>"}
    assert {silo["name"] for silo in values["silos"]} == set(SIZES) - pooled | {published_silos.POOL}
    assert values["privacy_minimum"] == {"minimum_rows": 70, "pooled_silos": 3, "pool": published_silos.POOL}
    pool = next(silo for silo in values["silos"] if silo["name"] == published_silos.POOL)
    assert pool["rows"] == sum(SIZES[name] for name in pooled)
    # The user names a silo in eval_config, and plotly says "tiny" too; the page is made of the JSON alone.
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name not in ("eval_config.json", "report.html"):
            assert not any(name.encode() in path.read_bytes() for name in ("tiny", "one class", "<script>alert")), path


def test_a_metric_that_tfma_computes_row_by_row_has_values_and_no_bounds(tmp_path, examples, model, rows):
    config = EVAL_CONFIG.replace('"BinaryAccuracy"', '"SquaredPearsonCorrelation"')
    outputs = run(
        tmp_path, examples, model, config=config, metric="squared_pearson_correlation", rules=[rules.Overall(0.01)]
    )
    values = report.read(outputs["report"].uri)
    silos = {silo["name"]: silo for silo in values["silos"]}
    x, labels = rows["Nord"]
    expected = np.corrcoef(1 / (1 + np.exp(-2.0 * x)), labels)[0, 1] ** 2
    assert silos["Nord"]["value"] == pytest.approx(expected, abs=1e-4)
    assert (silos["Nord"]["lower"], silos["Nord"]["evidence"]) == (None, "enough")
    assert silos["tiny"]["evidence"] == "too_few_rows"
    assert values["blessed"], values["rules"]


def test_a_mean_loss_is_better_the_lower_and_has_students_interval(tmp_path, examples, model, baseline, rows):
    config = EVAL_CONFIG.replace('"BinaryAccuracy"', '"MeanSquaredError"')
    asked = [rules.WorstSilo(0.9), rules.Change(rules.Overall(0.0))]
    outputs = run(tmp_path, examples, model, baseline, config=config, metric="mean_squared_error", rules=asked)
    values = report.read(outputs["report"].uri)
    nord = next(silo for silo in values["silos"] if silo["name"] == "Nord")
    x, labels = rows["Nord"]
    losses, of_baseline = ((labels - 1 / (1 + np.exp(-weight * x.astype(float)))) ** 2 for weight in (2.0, -1.0))
    interval = stats.t.interval(0.95, len(x) - 1, losses.mean(), stats.sem(losses))
    assert (nord["value"], nord["lower"], nord["upper"]) == pytest.approx((losses.mean(), *interval), abs=1e-6)
    gain = of_baseline - losses
    assert nord["gains"]["baseline"]["gain"] == pytest.approx(gain.mean(), abs=1e-6)
    bounds = stats.t.interval(0.95, len(x) - 1, gain.mean(), stats.sem(gain))
    assert nord["gains"]["baseline"]["lower"] == pytest.approx(bounds[0], abs=1e-6)
    assert values["higher_is_better"] is False
    assert values["worst_silo"]["value"] == max(
        silo["value"] for silo in values["silos"] if silo["evidence"] == "enough"
    )
    assert [rule["passed"] for rule in values["rules"]] == [True, True]


def test_groups_inside_silos_and_parity_are_what_the_rows_give(tmp_path, model):
    generator = np.random.default_rng(5)
    rows, table = [], []
    for silo in "ab":
        for _ in range(200):
            x, sex = float(generator.normal()), "fm"[generator.integers(2)]
            label = int(generator.random() < (0.8 if x > 0 else 0.3))
            rows.append(example(x=x, label=label, silo=silo, sex=sex))
            table.append((silo, sex, np.float32(x) > 0, label))
    config = EVAL_CONFIG + 'slicing_specs { feature_keys: ["silo", "sex"] }'
    outputs = run(tmp_path, few(tmp_path, rows), model, config=config, metric="binary_accuracy")
    values = report.read(outputs["report"].uri)
    (sliced,) = values["slices"]
    found = {(group["silo"], group["values"]["sex"]): group["value"] for group in sliced["groups"]}
    for silo in "ab":
        for sex in "fm":
            right = [above == label for of, who, above, label in table if (of, who) == (silo, sex)]
            assert found[silo, sex] == pytest.approx(np.mean(right))
        gap = next(gap for gap in sliced["gaps"] if gap["silo"] == silo)
        assert gap["gap"] == pytest.approx(abs(found[silo, "f"] - found[silo, "m"]))
    rates = {silo: np.mean([above for of, _, above, _ in table if of == silo]) for silo in "ab"}
    parity = next(item for item in values["parity"] if item["name"] == "demographic parity")
    assert parity["gap"]["observed"] == pytest.approx(abs(rates["a"] - rates["b"]))
