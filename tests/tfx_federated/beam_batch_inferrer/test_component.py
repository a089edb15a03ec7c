import json

import pytest
from tfx import types
from tfx.types import standard_artifacts

import tfx_federated


def channel(artifact_type):
    return types.Channel(type=artifact_type)


def component(**arguments):
    return tfx_federated.BeamBatchInferrer(
        model=channel(standard_artifacts.Model),
        examples=channel(standard_artifacts.Examples),
        silo_key="company",
        **arguments,
    )


def test_defaults():
    made = component()
    assert made.outputs["inference_result"].type is standard_artifacts.InferenceResult
    assert made.exec_properties == {
        "silo_key": "company",
        "splits": None,
        "output_format": "parquet",
        "batch_size": 4096,
    }
    assert set(made.inputs) == {"model", "examples"}


def test_splits_travel_as_json():
    assert json.loads(component(splits=["eval", "test"]).exec_properties["splits"]) == ["eval", "test"]


def test_blessing_is_an_input():
    made = component(model_blessing=channel(standard_artifacts.ModelBlessing))
    assert set(made.inputs) == {"model", "examples", "model_blessing"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be a whole number of at least 1"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"output_format": "csv"}, "output_format is 'csv'; choose one of parquet, tfrecord"),
        ({"splits": []}, r"splits is \[\]"),
        ({"splits": "eval"}, "splits is 'eval'; give a list"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        component(**arguments)


def test_empty_silo_key_is_refused():
    with pytest.raises(ValueError, match="silo_key is empty"):
        tfx_federated.BeamBatchInferrer(
            model=channel(standard_artifacts.Model), examples=channel(standard_artifacts.Examples), silo_key=""
        )
