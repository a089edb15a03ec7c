import json

import pytest
from google.protobuf import json_format, text_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import channel_utils, standard_artifacts

import tfx_federated
from tfx_federated.artifacts import FairnessReport, SiloModels
from tfx_federated.fairness_evaluator import component, rules

CONFIG = text_format.Parse(
    'model_specs { label_key: "late" } metrics_specs { metrics { class_name: "AUC" } }', config_pb2.EvalConfig()
)


def evaluator(**arguments):
    return component.FairnessEvaluator(
        **{
            "examples": channel_utils.as_channel([standard_artifacts.Examples()]),
            "model": channel_utils.as_channel([standard_artifacts.Model()]),
            "silo_key": "company",
            "eval_config": CONFIG,
            **arguments,
        }
    )


def test_outputs_and_defaults():
    node = evaluator()
    assert {name: channel.type for name, channel in node.outputs.items()} == {
        "evaluation": standard_artifacts.ModelEvaluation,
        "blessing": standard_artifacts.ModelBlessing,
        "report": FairnessReport,
    }
    properties = node.exec_properties
    assert json.loads(properties["example_splits"]) == ["eval"]
    assert (properties["metric"], properties["minimum_rows"]) == ("auc", 50)
    assert json_format.Parse(properties["eval_config"], config_pb2.EvalConfig()) == CONFIG
    assert rules.decode(properties["rules"]) == ()


def test_every_property_is_a_primitive():
    asked = [rules.Overall(0.7), rules.Change(rules.WorstSilo(-0.01))]
    node = evaluator(rules=asked, privacy_minimum=20, confidence=0.9, example_splits=["eval", "test"])
    assert all(isinstance(value, str | int | float) for value in node.exec_properties.values() if value is not None)
    assert list(rules.decode(node.exec_properties["rules"])) == asked


def test_compared_models_are_optional_inputs():
    assert set(evaluator().inputs) == {"examples", "model"}
    node = evaluator(
        baseline_model=channel_utils.as_channel([standard_artifacts.Model()]),
        local_models=channel_utils.as_channel([SiloModels()]),
        silo_models=channel_utils.as_channel([SiloModels()]),
    )
    assert set(node.inputs) == {"examples", "model", "baseline_model", "local_models", "silo_models"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"silo_key": ""}, "silo_key is empty"),
        ({"minimum_rows": 0}, "minimum_rows is 0"),
        ({"minimum_class_rows": 1}, "minimum_class_rows is 1"),
        ({"privacy_minimum": 0}, "privacy_minimum is 0"),
        ({"confidence": 95}, "confidence is 95"),
        ({"rules": [rules.NoSiloWorse(0.01, compared="local_models")]}, "NoSiloWorse compares with local_models"),
        ({"example_splits": []}, "example_splits is an empty list"),
        ({"metric": "accuracy"}, "'accuracy' is not in eval_config"),
        ({"eval_config": config_pb2.EvalConfig()}, "0 model_specs"),
    ],
)
def test_bad_parameters_are_refused_when_the_pipeline_is_written(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluator(**arguments)


def test_the_public_name_is_this_component():
    assert tfx_federated.FairnessEvaluator is component.FairnessEvaluator
