"""The BeamBatchInferrer component: a model's predictions for every row, partitioned by silo."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from tfx_federated.beam_batch_inferrer import executor


class BeamBatchInferrerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and execution properties of BeamBatchInferrer."""

    PARAMETERS = {
        "silo_key": component_spec.ExecutionParameter(type=str),
        "splits": component_spec.ExecutionParameter(type=str, optional=True),
        "output_format": component_spec.ExecutionParameter(type=str),
        "batch_size": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
    }
    OUTPUTS = {
        "inference_result": component_spec.ChannelParameter(type=standard_artifacts.InferenceResult),
    }


class BeamBatchInferrer(base_beam_component.BaseBeamComponent):
    """A TFX component that scores examples in bounded batches and writes one partition per silo.

    It reads raw tf.Examples in TFRecord shards, calls the model's `serving_default` signature on them, and writes
    Parquet files (or TFRecords of PredictionLog) of which none holds rows of two silos. With a blessing that does not
    bless the model nothing is scored, and the output says so.

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
       `rows`, `silos`, `rows_without_silo`, `output_format`.
    """

    SPEC_CLASS = BeamBatchInferrerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        silo_key: str,
        model_blessing: types.BaseChannel | None = None,
        splits: Sequence[str] | None = None,
        output_format: str = "parquet",
        batch_size: int = 4096,
    ) -> None:
        """Constructs a BeamBatchInferrer.

        Args:
            model: Channel of one `standard_artifacts.Model` whose SavedModel has a signature `serving_default` that
                takes one 1-D string tensor of serialized tf.Examples.
            examples: Channel of `standard_artifacts.Examples` (one or more artifacts) with tf.Example payload.
            silo_key: Name of the feature that holds the silo: a string or an integer.
            model_blessing: Channel of one `standard_artifacts.ModelBlessing`. A model without the blessing is not
                scored. Without this input every model is.
            splits: Names of the splits to score; all of them when None.
            output_format: `parquet`, or `tfrecord` for gzip-compressed TFRecords of PredictionLog.
            batch_size: Most rows in one call of the model, at least 1.

        Raises:
            ValueError: An argument is out of range.
        """
        if isinstance(splits, str) or (splits is not None and not splits):
            raise ValueError(f"splits is {splits!r}; give a list of split names, or None for all splits")
        executor.require_valid_settings(silo_key, output_format, batch_size)
        spec = BeamBatchInferrerSpec(
            model=model,
            examples=examples,
            model_blessing=model_blessing,
            silo_key=silo_key,
            splits=None if splits is None else json.dumps(list(splits)),
            output_format=output_format,
            batch_size=batch_size,
            inference_result=types.Channel(type=standard_artifacts.InferenceResult),
        )
        super().__init__(spec=spec)
