"""The page of the FairnessEvaluator says what its code is."""

import dataclasses
import inspect
import pathlib
import re

import pytest
from tfx.types import channel_utils, standard_artifacts

from tfx_federated import artifacts
from tfx_federated.fairness_evaluator import component, rules

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "components" / "fairness_evaluator.md"
TEXT = PAGE.read_text(encoding="utf-8")


def table(title):
    """Returns the first cells of a section's first table by their names."""
    (text,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_parameter_is_there_with_its_default():
    parameters = dict(inspect.signature(component.FairnessEvaluator.__init__).parameters)
    del parameters["self"]
    found = table("Parameters")
    assert set(found) == set(parameters)
    for name in ("minimum_rows", "minimum_class_rows", "privacy_minimum", "confidence"):
        assert found[name][0] == str(parameters[name].default)


def test_every_rule_is_there_with_its_fields():
    found = table("Rules")
    assert set(found) == {rule.__name__ for rule in rules.ALTERNATIVES}
    for rule in rules.ALTERNATIVES:
        for field in dataclasses.fields(rule):
            assert field.name == "when_undecided" or f"`{field.name}`" in found[rule.__name__][0], (rule, field.name)


def test_the_code_of_the_page_makes_the_component():
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, namespace)

    class Node:
        def __init__(self, **outputs):
            self.outputs = {name: channel_utils.as_channel([kind()]) for name, kind in outputs.items()}

    node = namespace["with_fairness"](
        Node(examples=standard_artifacts.Examples),
        Node(model=standard_artifacts.Model, silo_models=artifacts.SiloModels),
    )
    assert isinstance(node, component.FairnessEvaluator)
    assert len(rules.decode(node.exec_properties["rules"])) == 2
    assert all(isinstance(rule, rules.ALTERNATIVES) for rule in namespace["asked"])


@pytest.mark.parametrize("page", [PAGE, pathlib.Path(component.__file__).with_name("README.md")])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
