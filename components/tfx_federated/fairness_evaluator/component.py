"""TFX FairnessEvaluator component definition."""

from __future__ import annotations

import json
from collections.abc import Sequence

from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_federated import artifacts
from tfx_federated.fairness_evaluator import compared_models, evaluation_config, executor
from tfx_federated.fairness_evaluator import rules as rules_lib

EXAMPLES_KEY = executor.EXAMPLES_KEY
MODEL_KEY = compared_models.MODEL_KEY
BASELINE_MODEL_KEY = compared_models.BASELINE_MODEL_KEY
LOCAL_MODELS_KEY = evaluation_config.LOCAL_MODELS
SILO_MODELS_KEY = evaluation_config.SILO_MODELS
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
        "rules": ExecutionParameter(type=str),
        "minimum_rows": ExecutionParameter(type=int),
        "minimum_class_rows": ExecutionParameter(type=int),
        "privacy_minimum": ExecutionParameter(type=int, optional=True),
        "confidence": ExecutionParameter(type=float),
    }
    INPUTS = {
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        BASELINE_MODEL_KEY: ChannelParameter(type=standard_artifacts.Model, optional=True),
        LOCAL_MODELS_KEY: ChannelParameter(type=artifacts.SiloModels, optional=True),
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
    on each silo's, with confidence intervals, beside a baseline and the silos' own models where there are any, holds
    the result against rules, and writes a report that a person can read.

    Example:
        ```
        fairness_evaluator = FairnessEvaluator(
            examples=example_gen.outputs["examples"],
            model=trainer.outputs["model"],
            local_models=trainer.outputs["silo_models"],
            silo_key="company",
            eval_config=text_format.Parse(
                'model_specs { label_key: "late" } metrics_specs { metrics { class_name: "AUC" } }',
                config_pb2.EvalConfig(),
            ),
            rules=[rules.Overall(0.7), rules.WorstSilo(0.6)],
        )
        ```

    Component `outputs` contains:
     - `evaluation`: Channel of type `standard_artifacts.ModelEvaluation`: TFMA's files, read by `tfma.load_eval_result`
                     (with several models, by `model_name` `candidate`, `baseline`, `local_models` or `silo_models`) and
                     `tfma.load_validation_result`.
     - `blessing`: Channel of type `standard_artifacts.ModelBlessing`, as Pusher and LatestBlessedModelStrategy read it.
     - `report`: Channel of type `tfx_federated.FairnessReport`: `report.html`, `report.json` and `silos.parquet`.
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
        local_models: types.BaseChannel | None = None,
        silo_models: types.BaseChannel | None = None,
        example_splits: list[str] | None = None,
        metric: str = "auc",
        rules: Sequence[rules_lib.Rule] = (),
        minimum_rows: int = 50,
        minimum_class_rows: int = 10,
        privacy_minimum: int | None = None,
        confidence: float = 0.95,
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
            local_models: The models that silos trained alone. A silo that they do not know has no such metric.
            silo_models: The silos' personalised models.
            example_splits: Splits to evaluate together; `["eval"]` if None.
            metric: Name of the metric that rules and report are about, as TFMA names it.
            rules: What the model must fulfil to be blessed.
            minimum_rows: Evaluated rows below which nothing is claimed about a silo, at least 1.
            minimum_class_rows: Rows of each class below which nothing is claimed about a silo, if the metric compares
                the classes, at least 2.
            privacy_minimum: Silos with fewer evaluated rows appear in no output by name, only together in a pool, and
                slices with fewer rows do not appear. None publishes every silo.
            confidence: Of intervals, two-sided, between 0 and 1.

        Raises:
            ValueError: A parameter is out of its range, the metric is not in `eval_config`, or a rule compares with a
                model that is not given.
        """
        if not silo_key:
            raise ValueError("silo_key is empty; name the feature that holds the silo")
        if example_splits is not None and not example_splits:
            raise ValueError("example_splits is an empty list; name splits, or leave it out for ['eval']")
        if privacy_minimum is not None and privacy_minimum < 1:
            raise ValueError(f"privacy_minimum is {privacy_minimum}; it must be at least 1, or None")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence is {confidence}; it must be between 0 and 1")
        if minimum_rows < 1:
            raise ValueError(f"minimum_rows is {minimum_rows}; it must be at least 1")
        if minimum_class_rows < 2:
            raise ValueError(f"minimum_class_rows is {minimum_class_rows}; it must be at least 2: a variance needs two")
        own_models = {LOCAL_MODELS_KEY: local_models, SILO_MODELS_KEY: silo_models}
        given = [name for name, channel in own_models.items() if channel is not None]
        _require_compared_models(rules, given)
        completed = evaluation_config.complete(eval_config, silo_key, baseline_model is not None, given)
        evaluation_config.require_metric(completed, metric)
        spec = FairnessEvaluatorSpec(
            examples=examples,
            model=model,
            baseline_model=baseline_model,
            **own_models,
            silo_key=silo_key,
            eval_config=json_format.MessageToJson(eval_config, preserving_proto_field_name=True),
            example_splits=json.dumps(example_splits or ["eval"]),
            metric=metric,
            rules=rules_lib.encode(rules),
            minimum_rows=minimum_rows,
            minimum_class_rows=minimum_class_rows,
            privacy_minimum=privacy_minimum,
            confidence=float(confidence),
            evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
            blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            report=types.Channel(type=artifacts.FairnessReport),
        )
        super().__init__(spec=spec)


def _require_compared_models(rules: Sequence[rules_lib.Rule], given: Sequence[str]) -> None:
    for rule in rules:
        compared = getattr(rule, "compared", BASELINE_MODEL_KEY)
        if compared in compared_models.OWN_MODELS and compared not in given:
            raise ValueError(
                f"rule {type(rule).__name__} compares with {compared}, which FairnessEvaluator is not given"
            )
