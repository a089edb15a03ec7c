import dataclasses

import pytest
from tfx import types
from tfx.types import standard_artifacts

import tfx_federated
from tfx_federated import artifacts
from tfx_federated.beam_batch_inferrer.model_options import ModelOptions
from tfx_federated.beam_batch_inferrer.settings import Settings


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
    assert set(made.outputs) == {"inference_result"}
    assert Settings.from_properties(made.exec_properties) == Settings("company")
    assert set(made.inputs) == {"model", "examples"}


def test_every_argument_arrives_at_the_executor():
    settings = Settings(
        silo_key="company",
        splits=("eval", "test"),
        row_id="id",
        passthrough_features=("x", "y"),
        output_format="tf_example",
        layout="sorted_shards",
        batch_size=7,
        batch_bytes=8,
        maximum_dead_letter_share=0.25,
        model_options=ModelOptions(xla=True),
        write_examples=True,
    )
    assert all(getattr(settings, field.name) != field.default for field in dataclasses.fields(settings)[1:])
    arguments = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    del arguments["silo_key"]
    assert Settings.from_properties(component(**arguments).exec_properties) == settings


def test_examples_are_an_output_where_they_are_asked_for():
    assert component(write_examples=True).outputs["output_examples"].type is standard_artifacts.Examples


def test_models_of_silos_are_an_input():
    assert "silo_models" in component(silo_models=channel(artifacts.SiloModels)).inputs


def test_blessing_is_an_input():
    made = component(model_blessing=channel(standard_artifacts.ModelBlessing))
    assert set(made.inputs) == {"model", "examples", "model_blessing"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be a whole number of at least 1"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"output_format": "csv"}, "output_format is 'csv'; choose one of parquet, tf_example, prediction_log"),
        ({"layout": "flat"}, "layout is 'flat'; choose one of silo_folders, sorted_shards"),
        ({"batch_bytes": 0}, "batch_bytes is 0"),
        ({"maximum_dead_letter_share": 1.5}, "maximum_dead_letter_share is 1.5; it must be between 0 and 1"),
        ({"passthrough_features": ["x", "x"]}, "passthrough_features names a feature twice"),
        ({"passthrough_features": "x"}, "passthrough_features is 'x'; give a list"),
        ({"splits": []}, "splits is an empty list"),
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
