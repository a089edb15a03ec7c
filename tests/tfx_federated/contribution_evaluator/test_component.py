import json

import pytest
from tfx import types
from tfx.orchestration import data_types
from tfx.types import standard_artifacts

from tfx_federated import ContributionEvaluator, artifacts
from tfx_federated.contribution_evaluator import methods, rules, utilities


def component(**changes):
    asked = {
        "silo_examples": types.Channel(type=artifacts.SiloExamples),
        "federated_run": types.Channel(type=artifacts.FederatedRun),
        "model": types.Channel(type=standard_artifacts.Model),
    }
    return ContributionEvaluator(**{**asked, **changes})


def test_outputs_and_defaults():
    node = component()
    assert node.outputs["report"].type is artifacts.ContributionReport
    assert node.outputs["blessing"].type is standard_artifacts.ModelBlessing
    properties = node.exec_properties
    assert json.loads(properties["utility"]) == {"type": "OverallMetric", "metric": "auc"}
    assert json.loads(properties["method"])["type"] == "Fallback"
    assert rules.decode(properties["rules"]) == ()
    assert properties["split"] == "eval"


def test_a_choice_may_be_a_setting_its_text_or_filled_in_later():
    chosen = methods.FederatedShapley(exact_silos=4)
    text = component(method=chosen).exec_properties["method"]
    assert component(method=text).exec_properties["method"] == text
    assert json.loads(text)["exact_silos"] == 4
    later = data_types.RuntimeParameter("method", ptype=str, default=text)
    assert component(method=later).exec_properties["method"] is later


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minimum_rows": 0}, "minimum_rows is 0; it must be at least 1"),
        ({"minimum_class_rows": 1}, "minimum_class_rows is 1; it must be at least 2"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"confidence": 1.0}, r"confidence is 1\.0; it must be between 0 and 1"),
        ({"false_discovery_rate": 0.0}, "false_discovery_rate is 0.0; it must be between 0 and 1"),
        ({"method": 3}, "method is 3; it must be one of"),
        ({"method": '{"type": "Shapley"}'}, "method: \"type\" is 'Shapley'; it must be one of"),
        ({"utility": utilities}, "utility is <module"),
        ({"rules": [0.5]}, r"rules\[0\] is 0.5"),
    ],
)
def test_a_parameter_out_of_its_range_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        component(**changes)


@pytest.mark.parametrize(
    "method",
    [methods.Retraining(), methods.LeaveGroupOut(), methods.Fallback(methods.GtgShapley(), methods.Retraining())],
)
def test_a_method_that_trains_again_needs_what_the_trainer_had(method):
    with pytest.raises(ValueError, match=r"trains silos again; give module_file, and transform_graph or schema"):
        component(method=method, module_file="module.py")
    schema = types.Channel(type=standard_artifacts.Schema)
    component(method=method, module_file="module.py", schema=schema)
