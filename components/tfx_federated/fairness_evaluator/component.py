"""TFX FairnessEvaluator component definition."""

from __future__ import annotations

import json

from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_federated import artifacts
from tfx_federated.fairness_evaluator import evaluation_config, executor

EXAMPLES_KEY = executor.EXAMPLES_KEY
MODEL_KEY = executor.MODEL_KEY
BASELINE_MODEL_KEY = executor.BASELINE_MODEL_KEY
SILO_MODELS_KEY = executor.SILO_MODELS_KEY
EVALUATION_KEY = executor.EVALUATION_KEY
BLESSING_KEY = executor.BLESSING_KEY
REPORT_KEY = executor.REPORT_KEY


class FairnessEvaluatorSpec(ComponentSpec):
    """FairnessEvaluator component spec."""

    PARAMETERS = {
        "silo_key": ExecutionParameter(type=str),
        "eval_config": ExecutionParameter(type=str),
        "example_splits": ExecutionParameter(type=str),
        "metric": ExecutionParameter(type=str),
        "minimum_overall": ExecutionParameter(type=float, optional=True),
        "minimum_worst_silo": ExecutionParameter(type=float, optional=True),
        "minimum_rows": ExecutionParameter(type=int),
    }
    INPUTS = {
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        BASELINE_MODEL_KEY: ChannelParameter(type=standard_artifacts.Model, optional=True),
        SILO_MODELS_KEY: ChannelParameter(type=artifacts.SiloModels, optional=True),
    }
    OUTPUTS = {
        EVALUATION_KEY: ChannelParameter(type=standard_artifacts.ModelEvaluation),
        BLESSING_KEY: ChannelParameter(type=standard_artifacts.ModelBlessing),
        REPORT_KEY: ChannelParameter(type=artifacts.FairnessReport),
    }


class FairnessEvaluator(base_beam_component.BaseBeamComponent):
    """A TFX component that judges a model silo by silo with TFMA, and blesses it or not.

    A model that is good on the whole can be poor for a small silo. This component evaluates the model on all rows and
    on each silo's, beside a baseline and the silos' own models where there are any, holds the result against a bound
    for all rows and one for the worst silo, and writes a report that a person can read.

    Example:
        ```
        fairness_evaluator = FairnessEvaluator(
            examples=example_gen.outputs["examples"],
            model=trainer.outputs["model"],
            silo_models=trainer.outputs["silo_models"],
            silo_key="company",
            eval_config=text_format.Parse(
                'model_specs { label_key: "late" } metrics_specs { metrics { class_name: "AUC" } }',
                config_pb2.EvalConfig(),
            ),
            minimum_overall=0.7,
            minimum_worst_silo=0.6,
        )
        ```

    Component `outputs` contains:
     - `evaluation`: Channel of type `standard_artifacts.ModelEvaluation`: TFMA's files, read by `tfma.load_eval_result`
                     (with several models, by `model_name` `candidate`, `baseline` or `local`) and
                     `tfma.load_validation_result`.
     - `blessing`: Channel of type `standard_artifacts.ModelBlessing`, as Pusher and LatestBlessedModelStrategy read it.
     - `report`: Channel of type `tfx_federated.FairnessReport`: `report.html` and `report.json`.
    """

    SPEC_CLASS = FairnessEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        silo_key: str,
        eval_config: config_pb2.EvalConfig,
        baseline_model: types.BaseChannel | None = None,
        silo_models: types.BaseChannel | None = None,
        example_splits: list[str] | None = None,
        metric: str = "auc",
        minimum_overall: float | None = None,
        minimum_worst_silo: float | None = None,
        minimum_rows: int = 50,
    ) -> None:
        """Constructs a FairnessEvaluator component.

        Args:
            examples: Examples with tf.Example payload, one or several artifacts.
            model: The Model to judge: a SavedModel with a signature on a 1-D string tensor of serialized raw
                tf.Examples.
            silo_key: Feature that holds the silo, a string or an integer. A row without one counts in the overall
                metrics only.
            eval_config: TFMA configuration: one ModelSpec with `label_key` (`signature_name` defaults to
                `serving_default`), metrics, slices, thresholds. A slice of all rows, a slice per silo and the metrics
                ExampleCount and MeanLabel are added. A threshold without a slice holds for the slices
                written here (all rows, if none), not for each silo.
            baseline_model: A Model to compare with, for example the latest blessed one.
            silo_models: The silos' own models. A silo that they do not know has no local metric.
            example_splits: Splits to evaluate together; `["eval"]` if None.
            metric: Name of the metric that the gate and the report are about, as TFMA names it. Higher must be better:
                the bounds are lower bounds.
            minimum_overall: Least metric over all rows; None for no such rule.
            minimum_worst_silo: Least metric of the worst silo; None for no such rule.
            minimum_rows: Evaluated rows below which a silo takes no part in `minimum_worst_silo`, at least 1.

        Raises:
            ValueError: A parameter is out of its range, or the metric is not in `eval_config`.
        """
        if not silo_key:
            raise ValueError("silo_key is empty; name the feature that holds the silo")
        if minimum_rows < 1:
            raise ValueError(f"minimum_rows is {minimum_rows}; it must be at least 1")
        if example_splits is not None and not example_splits:
            raise ValueError("example_splits is an empty list; name splits, or leave it out for ['eval']")
        completed = evaluation_config.complete(
            eval_config, silo_key, baseline_model is not None, silo_models is not None
        )
        evaluation_config.require_metric(completed, metric)
        spec = FairnessEvaluatorSpec(
            examples=examples,
            model=model,
            baseline_model=baseline_model,
            silo_models=silo_models,
            silo_key=silo_key,
            eval_config=json_format.MessageToJson(eval_config, preserving_proto_field_name=True),
            example_splits=json.dumps(example_splits or ["eval"]),
            metric=metric,
            minimum_overall=None if minimum_overall is None else float(minimum_overall),
            minimum_worst_silo=None if minimum_worst_silo is None else float(minimum_worst_silo),
            minimum_rows=minimum_rows,
            evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
            blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            report=types.Channel(type=artifacts.FairnessReport),
        )
        super().__init__(spec=spec)
