"""The page of the FederatedTrainer says what its code is."""

import dataclasses
import inspect
import json
import pathlib
import re

import pytest
from tfx.types import channel_utils, standard_artifacts

from tff_runtime import job as job_lib
from tff_runtime import model
from tff_runtime.settings import encoding, executions
from tfx_federated import artifacts
from tfx_federated.federated_trainer import component

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "components" / "federated_trainer.md"
TEXT = PAGE.read_text(encoding="utf-8")
README = pathlib.Path(component.__file__).with_name("README.md")


def section(title):
    """Returns what stands under a heading, up to the next one of any level."""
    (text,) = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    return text


def rows(title):
    """Returns the cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def shown(default):
    if default is inspect.Parameter.empty:
        return ""
    if not dataclasses.is_dataclass(default):
        return f"`{default!r}`"
    assert default == type(default)()
    return f"`{type(default).__name__}()`"


def signature(setting_class):
    parameters = inspect.signature(setting_class).parameters
    return f"`{setting_class.__name__}({', '.join(map(field_text, parameters, dataclasses.fields(setting_class)))})`"


def field_text(name, field):
    if field.default_factory is not dataclasses.MISSING:
        return f"{name}={field.default_factory()!r}"
    return name if field.default is dataclasses.MISSING else f"{name}={field.default!r}"


def code(title):
    blocks = re.findall(r"```python\n(.*?)```", section(title), re.DOTALL)
    namespace = {}
    for block in blocks:
        exec(block, namespace)
    return namespace


class Producer:
    """Stands for the components before the trainer: something with outputs."""

    outputs = {
        "silo_examples": channel_utils.as_channel([artifacts.SiloExamples()]),
        "transform_graph": channel_utils.as_channel([standard_artifacts.TransformGraph()]),
    }


def test_the_table_has_every_parameter_with_its_default():
    parameters = dict(inspect.signature(component.FederatedTrainer.__init__).parameters)
    del parameters["self"]
    expected = {f"`{name}`": shown(parameter.default) for name, parameter in parameters.items()}
    assert {name: default for name, default, _ in rows("Parameters")} == expected


SECTIONS = {"`client_schedule`, `server_schedule`" if "schedule" in name else f"`{name}`" for name in job_lib.CHOICES}


@pytest.mark.parametrize("title", sorted(SECTIONS))
def test_a_choice_has_every_class_with_its_fields(title):
    for name in re.findall(r"`(\w+)`", title):
        alternatives, _ = job_lib.CHOICES[name]
        assert [cells[0] for cells in rows(title)] == [signature(alternative) for alternative in alternatives]


def test_every_json_text_is_a_setting():
    (text,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    for name, values in json.loads(text).items():
        alternatives, _ = job_lib.CHOICES[name]
        assert type(encoding.decode(json.dumps(values), alternatives, name)).__name__ == values["type"]


def test_every_class_that_the_page_names_as_code_is_there():
    classes = {alternative.__name__ for alternatives, _ in job_lib.CHOICES.values() for alternative in alternatives}
    called = set(re.findall(r"`(?:\w+\.)?([A-Z][A-Za-z]+)\(", TEXT))
    assert called <= classes


def test_the_component_at_the_top_can_be_made():
    trainer = code("FederatedTrainer")["with_training"](Producer(), Producer())
    assert set(trainer.outputs) == {"model", "federated_run", "silo_models"}


def test_the_module_makes_a_model():
    specs = {"distance": model.FeatureSpec("float32", (1,))}
    made = code("The module file")["model_fn"](model.ModelArguments(specs, "delayed", {}))
    assert isinstance(made, model.FederatedModel)
    assert [tensor.name for tensor in made.keras_model.inputs] == ["distance"]


@pytest.mark.parametrize("title", ["Where it runs", "A process of your own"])
def test_the_other_code_makes_an_execution(title):
    assert isinstance(code(title)["execution"], executions.ALTERNATIVES)


@pytest.mark.parametrize("file", [PAGE, README], ids=lambda file: file.name)
def test_every_link_leads_to_a_file_or_a_heading(file):
    text = file.read_text(encoding="utf-8")
    for path, anchor in re.findall(r"\]\(([^)#:]*)#?([^)]*)\)", text):
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tff_runtime|tests)/[\w/.]+)`", TEXT))))
def test_every_file_that_is_named_is_there(path):
    assert (ROOT / path).exists() or (ROOT / "components" / path).exists()
