"""The page of the ContributionEvaluator says what its code is."""

import inspect
import pathlib
import re

import pytest
from pipelines.flights import local_runner
from tfx.components.pusher.component import Pusher
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto import pusher_pb2
from tfx.types import channel_utils, standard_artifacts

from tfx_federated import ContributionEvaluator, artifacts
from tfx_federated.contribution_evaluator import (
    evaluation,
    federated_run,
    held_out_rows,
    methods,
    own_models,
    rules,
)
from tfx_federated.contribution_evaluator.detection import detectors

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "components" / "contribution_evaluator.md"
TEXT = PAGE.read_text(encoding="utf-8")


def table(title):
    """Returns the first cells of a section's first table by their names."""
    (text,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_parameter_is_there_with_its_default():
    parameters = dict(inspect.signature(ContributionEvaluator.__init__).parameters)
    del parameters["self"]
    found = table("Parameters")
    assert set(found) == set(parameters)
    for name, parameter in parameters.items():
        default = "" if parameter.default is inspect.Parameter.empty else str(parameter.default)
        assert found[name][0] == (type(methods.DEFAULT).__name__ if name == "method" else default), name


def test_every_method_detector_rule_and_error_is_there():
    plain = {method.__name__ for method in methods.ALTERNATIVES} - {methods.Fallback.__name__}
    assert set(table("Gave")) == plain
    modules = [*detectors.TESTS, *(fact for fact, _ in detectors.FACTS)]
    assert set(table("Free riders and damage")) == {module.NAME for module in modules}
    assert {re.match(r"\w+", name)[0] for name in table("The gate")} == {rule.__name__ for rule in rules.ALTERNATIVES}
    errors = (
        evaluation.ForeignRunError,
        federated_run.LedgerError,
        held_out_rows.HeldOutRowsError,
        own_models.OwnModelsError,
    )
    assert set(table("Errors")) == {error.__name__ for error in errors}


def test_the_methods_of_the_default_are_named_in_their_order():
    (sentence,) = re.findall(r"The default\s+takes (.*?), which", TEXT, re.DOTALL)
    method, names = methods.DEFAULT, []
    while isinstance(method, methods.Fallback):
        names.append(type(method.preferred).__name__)
        method = method.otherwise
    assert re.findall(r"`(\w+)`", sentence) == [*names, type(method).__name__]


class Node:
    def __init__(self, **outputs):
        self.outputs = {name: channel_utils.as_channel([kind()]) for name, kind in outputs.items()}


@pytest.fixture(scope="module")
def namespace():
    found = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block.replace("company_module.py", str(local_runner.MODULE_FILE)), found)
    return found


@pytest.fixture(scope="module")
def nodes(namespace):
    partitioner = Node(silo_examples=artifacts.SiloExamples)
    transform = Node(transform_graph=standard_artifacts.TransformGraph)
    return namespace["with_contributions"](partitioner, transform)


def test_the_first_example_makes_two_components(nodes):
    trainer, evaluator = nodes
    assert '"type": "DetailedLedger"' in trainer.exec_properties["ledger"]
    assert len(rules.decode(evaluator.exec_properties["rules"])) == 2


def test_a_component_can_depend_on_what_was_found(namespace, nodes):
    destination = pusher_pb2.PushDestination(filesystem=pusher_pb2.PushDestination.Filesystem(base_directory="serving"))
    trainer, evaluator = nodes
    pusher = namespace["push_if_nothing_was_found"](
        evaluator, lambda: Pusher(model=trainer.outputs["model"], push_destination=destination)
    )
    pipeline = tfx_pipeline.Pipeline("page", "root", components=[trainer, evaluator, pusher])
    assert pipeline.components.index(pusher) == 2


def test_kinds_of_findings_are_those_that_rules_take():
    (cell,) = [cells[0] for name, cells in table("The gate").items() if name.startswith("NoFindings")]
    named = set(re.findall(r"`(\w+)`", cell)) | set(rules.NoFindings().kinds)
    assert named == {str(kind) for kind in detectors.readings.Kind}
