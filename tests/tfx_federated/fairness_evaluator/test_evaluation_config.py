import pytest
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from tfx_federated.fairness_evaluator import evaluation_config

PLAIN = 'model_specs { label_key: "label" } metrics_specs { metrics { class_name: "AUC" } }'
THRESHOLD = "threshold { value_threshold { lower_bound { value: 0.5 } } }"


def parse(text):
    return text_format.Parse(text, config_pb2.EvalConfig())


def complete(text, has_baseline=False, own_models=()):
    return evaluation_config.complete(parse(text), "silo", has_baseline, own_models)


def test_one_model_has_the_default_signature_and_no_name():
    (spec,) = complete(PLAIN).model_specs
    assert (spec.name, spec.signature_name, spec.label_key) == ("", "serving_default", "label")
    assert evaluation_config.candidate_name(complete(PLAIN)) == ""


@pytest.mark.parametrize(
    ("has_baseline", "own_models", "names"),
    [
        (True, [], ["candidate", "baseline"]),
        (False, ["local_models"], ["candidate", "local_models"]),
        (True, ["local_models", "silo_models"], ["candidate", "baseline", "local_models", "silo_models"]),
    ],
)
def test_each_further_model_is_a_model_spec(has_baseline, own_models, names):
    config = complete(PLAIN, has_baseline, own_models)
    assert [spec.name for spec in config.model_specs] == names
    assert [spec.name for spec in config.model_specs if spec.is_baseline] == ["baseline"] * has_baseline
    assert {name for spec in config.metrics_specs for name in spec.model_names} == set(names)


def test_the_users_names_and_baseline_settings_are_kept_in_meaning():
    config = complete(
        'model_specs { name: "new" label_key: "y" signature_name: "s" } '
        'model_specs { name: "old" label_key: "y" signature_name: "t" is_baseline: true } '
        'metrics_specs { metrics { class_name: "AUC" } model_names: "new" }',
        has_baseline=True,
    )
    assert [(spec.name, spec.signature_name) for spec in config.model_specs] == [("candidate", "s"), ("baseline", "t")]
    assert list(config.metrics_specs[0].model_names) == ["candidate"]


def test_a_baseline_spec_without_a_baseline_model_is_left_out():
    config = complete(PLAIN + 'model_specs { name: "old" label_key: "y" is_baseline: true }')
    assert len(config.model_specs) == 1


def test_overall_and_silo_slices_are_added_once():
    assert [list(spec.feature_keys) for spec in complete(PLAIN).slicing_specs] == [[], ["silo"]]
    given = PLAIN + 'slicing_specs { feature_keys: "silo" } slicing_specs { feature_keys: "sex" }'
    assert [list(spec.feature_keys) for spec in complete(given).slicing_specs] == [["silo"], ["sex"], []]


def test_a_threshold_without_a_slice_is_not_widened_to_the_added_slices():
    config = complete(PLAIN.replace('"AUC"', '"AUC" ' + THRESHOLD))
    metric = config.metrics_specs[0].metrics[0]
    assert not metric.HasField("threshold")
    (bound,) = metric.per_slice_thresholds
    assert list(bound.slicing_specs) == [config_pb2.SlicingSpec()]
    assert evaluation_config.has_thresholds(config)
    assert not evaluation_config.has_thresholds(complete(PLAIN))


def test_the_silos_own_models_have_the_metrics_and_no_threshold():
    config = complete(PLAIN.replace('"AUC"', '"AUC" ' + THRESHOLD), own_models=["local_models"])
    local = [spec for spec in config.metrics_specs if list(spec.model_names) == ["local_models"]]
    assert [metric.class_name for metric in local[0].metrics] == ["AUC"]
    assert not any(metric.per_slice_thresholds for spec in local for metric in spec.metrics)
    assert list(evaluation_config.only_models(config, ["local_models"]).metrics_specs) == local
    rest = evaluation_config.only_models(config, ["candidate"])
    assert len(rest.metrics_specs) + len(local) == len(config.metrics_specs)


def test_the_argument_stays_as_it_is():
    config = parse(PLAIN)
    evaluation_config.complete(config, "silo", True, ["silo_models"])
    assert config == parse(PLAIN)


def test_an_unknown_metric_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'accuracy' is not in eval_config.*'auc', 'example_count', 'mean_label'"):
        evaluation_config.require_metric(complete(PLAIN), "accuracy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 model_specs"),
        (PLAIN + 'model_specs { name: "b" label_key: "label" }', "2 model_specs"),
        ("model_specs {}", "no label_key"),
        ('model_specs { label_key: "y" model_type: "tf_keras" }', "model_type 'tf_keras'"),
        ('model_specs { label_key: "y" preprocessing_function_names: "t" }', "preprocessing_function_names"),
        (PLAIN + "options { min_slice_size { value: 5 } }", "min_slice_size"),
    ],
)
def test_what_cannot_be_judged_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        complete(text)
