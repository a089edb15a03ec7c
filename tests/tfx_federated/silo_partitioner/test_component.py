import json

import pytest
from tfx import types
from tfx.orchestration import data_types
from tfx.types import standard_artifacts

import tfx_federated
from tfx_federated import artifacts
from tfx_federated.silo_partitioner import component


def partitioner(**arguments):
    examples = types.Channel(type=standard_artifacts.Examples)
    return component.SiloPartitioner(**{"examples": examples, "silo_key": "company", **arguments})


def test_the_package_hands_out_the_component():
    assert tfx_federated.SiloPartitioner is component.SiloPartitioner


def test_defaults():
    assert partitioner().exec_properties == {
        "silo_key": "company",
        "splits": None,
        "minimum_rows": 1,
        "shards": 8,
        "rows_without_silo": "error",
        "maximum_malformed_share": 0.0,
    }


def test_the_output_is_silo_examples():
    assert partitioner().outputs["silo_examples"].type is artifacts.SiloExamples


def test_properties_are_primitives():
    properties = partitioner(splits=["train", "eval"], maximum_malformed_share=1).exec_properties
    assert json.loads(properties["splits"]) == ["train", "eval"]
    assert isinstance(properties["maximum_malformed_share"], float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("silo_key", ""),
        ("splits", []),
        ("splits", "train"),
        ("splits", ["train", "train"]),
        ("minimum_rows", 0),
        ("shards", 0),
        ("rows_without_silo", "drop"),
        ("maximum_malformed_share", 1.5),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is "):
        partitioner(**{name: value})


def test_runtime_parameters_are_let_through():
    parameters = {
        "silo_key": data_types.RuntimeParameter("silo_key", str),
        "splits": data_types.RuntimeParameter("splits", str),
        "minimum_rows": data_types.RuntimeParameter("minimum_rows", int, 5),
        "shards": data_types.RuntimeParameter("shards", int),
        "rows_without_silo": data_types.RuntimeParameter("rows_without_silo", str),
        "maximum_malformed_share": data_types.RuntimeParameter("maximum_malformed_share", float),
    }
    assert partitioner(**parameters).exec_properties == parameters


def test_another_artifact_type_is_refused():
    with pytest.raises(TypeError, match="examples"):
        partitioner(examples=types.Channel(type=standard_artifacts.Model))
