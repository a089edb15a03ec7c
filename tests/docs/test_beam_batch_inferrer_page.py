"""The page of the BeamBatchInferrer says what its code is."""

import inspect
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import channel_utils, standard_artifacts

from tfx_federated import artifacts
from tfx_federated.beam_batch_inferrer import component, row_errors
from tfx_federated.beam_batch_inferrer.layouts import LAYOUTS
from tfx_federated.beam_batch_inferrer.output_formats import OUTPUT_FORMATS
from tfx_federated.beam_batch_inferrer.serving_signature import ServingSignature
from tfx_federated.beam_batch_inferrer.settings import Settings

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "components" / "beam_batch_inferrer.md"
TEXT = PAGE.read_text(encoding="utf-8")


def table(title):
    """Returns the first cells of a section's first table by their names."""
    (text,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_parameter_is_there_with_its_default():
    parameters = dict(inspect.signature(component.BeamBatchInferrer.__init__).parameters)
    del parameters["self"]
    found = table("Parameters")
    assert set(found) == set(parameters)
    for name, parameter in parameters.items():
        required = parameter.default is inspect.Parameter.empty
        assert found[name][0] == ("" if required else str(parameter.default)), name


def test_every_choice_and_every_reason_is_there():
    found = table("Parameters")
    for name, choices in (("output_format", OUTPUT_FORMATS), ("layout", LAYOUTS)):
        assert all(choice in " ".join(found[name]) for choice in choices)
    assert tuple(table("Bad rows")) == row_errors.REASONS


class Node:
    def __init__(self, **outputs):
        self.outputs = {name: channel_utils.as_channel([kind()]) for name, kind in outputs.items()}


@pytest.fixture(scope="module")
def namespace():
    found = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, found)
    return found


def test_the_code_of_the_page_makes_the_component(namespace):
    node = namespace["with_predictions"](
        Node(examples=standard_artifacts.Examples),
        Node(model=standard_artifacts.Model, silo_models=artifacts.SiloModels),
        Node(blessing=standard_artifacts.ModelBlessing),
    )
    assert Settings.from_properties(node.exec_properties).passthrough_features == ("origin", "dest")


def test_the_code_of_the_page_saves_a_model_for_parquet(namespace, tmp_path):
    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.slope = tf.Variable(2.0)

        def __call__(self, tensors):
            return self.slope * tensors["dep_delay"] + tensors["distance"]

    namespace["save"](Model(), str(tmp_path))
    signature = ServingSignature(str(tmp_path), on_features=True)
    inputs = {"dep_delay": tf.constant([1.0, 2.0]), "distance": tf.constant([0.0, 1.0])}
    np.testing.assert_array_equal(signature.predict(inputs, 2)["predictions"], [2.0, 5.0])


@pytest.mark.parametrize("page", [PAGE, pathlib.Path(component.__file__).with_name("README.md")])
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        titles = [title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", text, re.MULTILINE)]
        assert anchor in titles, anchor
