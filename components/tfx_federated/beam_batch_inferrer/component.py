"""The BeamBatchInferrer component: a model's predictions for every row, silo by silo."""

from __future__ import annotations

from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from tfx_federated import artifacts
from tfx_federated.beam_batch_inferrer import executor
from tfx_federated.beam_batch_inferrer.model_options import ModelOptions
from tfx_federated.beam_batch_inferrer.settings import Settings


class BeamBatchInferrerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and execution properties of BeamBatchInferrer."""

    PARAMETERS = {
        "silo_key": component_spec.ExecutionParameter(type=str),
        "splits": component_spec.ExecutionParameter(type=str, optional=True),
        "row_id": component_spec.ExecutionParameter(type=str, optional=True),
        "passthrough_features": component_spec.ExecutionParameter(type=str),
        "output_format": component_spec.ExecutionParameter(type=str),
        "layout": component_spec.ExecutionParameter(type=str),
        "batch_size": component_spec.ExecutionParameter(type=int),
        "batch_bytes": component_spec.ExecutionParameter(type=int),
        "maximum_dead_letter_share": component_spec.ExecutionParameter(type=float),
        "model_options": component_spec.ExecutionParameter(type=str),
        "write_examples": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "silo_models": component_spec.ChannelParameter(type=artifacts.SiloModels, optional=True),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
    }
    OUTPUTS = {
        "inference_result": component_spec.ChannelParameter(type=standard_artifacts.InferenceResult),
        "output_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }


class BeamBatchInferrer(base_beam_component.BaseBeamComponent):
    """A TFX component that scores examples in bounded batches, and keeps the silos apart.

    It reads tf.Examples in TFRecord files, or Parquet, calls the model's signature on large batches, and writes Parquet
    files (or TFRecords) of which none holds rows of two silos. Rows of silos that have their own model are scored by
    it. With a blessing that does not bless the model nothing is scored, and the output says so.

    ## Example
    ```
    inferrer = BeamBatchInferrer(
        model=trainer.outputs["model"],
        model_blessing=fairness_evaluator.outputs["blessing"],
        examples=example_gen.outputs["examples"],
        silo_key="carrier",
        splits=["eval"],
    )
    ```

    Component `outputs` contains:

     - `inference_result`: Channel of type `standard_artifacts.InferenceResult`. `tfx_federated.beam_batch_inferrer.
       inference_results` describes and reads it. Custom properties: `scored` (1, or 0 with `skipped_reason`),
       `rows`, `silos`, `rows_without_silo`, `dead_letters`, `output_format`.
     - `output_examples`: Channel of type `standard_artifacts.Examples`, with `write_examples`: the examples with their
       predictions as added features.
    """

    SPEC_CLASS = BeamBatchInferrerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        silo_key: str,
        silo_models: types.BaseChannel | None = None,
        model_blessing: types.BaseChannel | None = None,
        splits: Sequence[str] | None = None,
        row_id: str | None = None,
        passthrough_features: Sequence[str] = (),
        output_format: str = "parquet",
        layout: str = "silo_folders",
        batch_size: int = 8192,
        batch_bytes: int = 64 << 20,
        maximum_dead_letter_share: float = 0.0,
        model_options: ModelOptions | None = None,
        write_examples: bool = False,
    ) -> None:
        """Constructs a BeamBatchInferrer.

        Args:
            model: Channel of one `standard_artifacts.Model` whose SavedModel has a signature `serving_default` that
                takes one 1-D string tensor of serialized tf.Examples. For Parquet it has a signature `features`, or
                else `serving_default`, that takes a tensor for each feature.
            examples: Channel of `standard_artifacts.Examples` (one or more artifacts) with tf.Example or Parquet
                payload.
            silo_key: Name of the feature that holds the silo: a string or an integer.
            silo_models: Channel of one `tfx_federated.SiloModels`. Rows of its silos are scored by their own model, all
                others by `model`.
            model_blessing: Channel of one `standard_artifacts.ModelBlessing`. A model without the blessing is not
                scored. Without this input every model is.
            splits: Names of the splits to score; all of them when None.
            row_id: Name of the feature, text or integer, that tells rows apart. None names a row by its file and its
                position there.
            passthrough_features: Names of features to write beside the predictions; of tf.Examples, features with at
                most one value.
            output_format: `parquet`; `tf_example` or `prediction_log` for gzip-compressed TFRecords.
            layout: `silo_folders`: a folder for each silo; `sorted_shards`: a file for each input shard, sorted
                by silo, for tens of thousands of silos.
            batch_size: Most rows in one call of the model, at least 1.
            batch_bytes: Most bytes of input in one call of the model, at least 1.
            maximum_dead_letter_share: The run fails if a larger share of the rows cannot be scored, between 0 and 1.
            model_options: How TensorFlow runs the model.
            write_examples: Whether to write the output `output_examples`.

        Raises:
            ValueError: An argument is out of range.
        """
        for name, names in (("splits", splits), ("passthrough_features", passthrough_features)):
            if isinstance(names, str):
                raise ValueError(f"{name} is {names!r}; give a list of names")
        settings = Settings(
            silo_key=silo_key,
            splits=None if splits is None else tuple(splits),
            row_id=row_id,
            passthrough_features=tuple(passthrough_features),
            output_format=output_format,
            layout=layout,
            batch_size=batch_size,
            batch_bytes=batch_bytes,
            maximum_dead_letter_share=maximum_dead_letter_share,
            model_options=model_options or ModelOptions(),
            write_examples=write_examples,
        )
        spec = BeamBatchInferrerSpec(
            model=model,
            examples=examples,
            silo_models=silo_models,
            model_blessing=model_blessing,
            **settings.to_properties(),
            inference_result=types.Channel(type=standard_artifacts.InferenceResult),
            output_examples=types.Channel(type=standard_artifacts.Examples) if write_examples else None,
        )
        super().__init__(spec=spec)
