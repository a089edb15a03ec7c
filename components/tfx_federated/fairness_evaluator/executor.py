"""TFX FairnessEvaluator executor."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import path_utils
from tfx_bsl.tfxio import tf_example_record

from tfx_federated import example_files, whole_files
from tfx_federated.fairness_evaluator import (
    checked_examples,
    evaluation_config,
    gate,
    local_evaluator,
    predictions,
    report,
    silo_table,
)

EXAMPLES_KEY = "examples"
MODEL_KEY = "model"
BASELINE_MODEL_KEY = "baseline_model"
SILO_MODELS_KEY = "silo_models"
EVALUATION_KEY = "evaluation"
BLESSING_KEY = "blessing"
REPORT_KEY = "report"

_FAILURES_IN_REASON = 10


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor for FairnessEvaluator."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates the models, judges the candidate and writes evaluation, report and blessing, in this order.

        Args:
            input_dict: `examples` (one or several), `model`; `baseline_model` and `silo_models` where given.
            output_dict: `evaluation`, `blessing`, `report`.
            exec_properties: As in the component; `eval_config` and `example_splits` are JSON.

        Raises:
            FileExistsError: An output folder is not empty.
            ValueError: The configuration, the models or the rows cannot be evaluated; the message says why.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        uris = {
            name: artifact_utils.get_single_uri(output_dict[name])
            for name in (EVALUATION_KEY, BLESSING_KEY, REPORT_KEY)
        }
        for name, uri in uris.items():
            whole_files.require_empty(uri, name)
            fileio.makedirs(uri)
        silo_key, metric = exec_properties["silo_key"], exec_properties["metric"]
        eval_config = evaluation_config.complete(
            json_format.Parse(exec_properties["eval_config"], config_pb2.EvalConfig()),
            silo_key,
            has_baseline=bool(input_dict.get(BASELINE_MODEL_KEY)),
            has_local=bool(input_dict.get(SILO_MODELS_KEY)),
        )
        evaluation_config.require_metric(eval_config, metric)
        models = _eval_shared_models(eval_config, input_dict)
        patterns = [
            pattern
            for split in json.loads(exec_properties["example_splits"])
            for pattern in example_files.split_file_patterns(input_dict[EXAMPLES_KEY], split)
        ]
        self._evaluate(patterns, silo_key, eval_config, models, uris[EVALUATION_KEY])
        table = silo_table.read(uris[EVALUATION_KEY], eval_config, silo_key, metric)
        rules = _judge(table, eval_config, uris[EVALUATION_KEY], exec_properties)
        model = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        content = report.content(table, rules, metric, exec_properties["minimum_rows"], model.uri)
        report.write(uris[REPORT_KEY], content, table)
        _write_blessing(
            artifact_utils.get_single_instance(output_dict[BLESSING_KEY]),
            content["blessed"],
            input_dict,
            exec_properties,
        )
        logging.info("FairnessEvaluator: blessed=%s, report in %s", content["blessed"], uris[REPORT_KEY])

    def _evaluate(
        self,
        patterns: Sequence[str],
        silo_key: str,
        eval_config: config_pb2.EvalConfig,
        models: list[tfma.EvalSharedModel],
        output_uri: str,
    ) -> None:
        check = functools.partial(
            checked_examples.check_rows, silo_key=silo_key, label_key=evaluation_config.label_key(eval_config)
        )
        source = tf_example_record.TFExampleRecord(
            file_pattern=list(patterns),
            raw_record_column_name=tfma.ARROW_INPUT_COLUMN,
            telemetry_descriptors=["FairnessEvaluator"],
        )
        try:
            with self._make_beam_pipeline() as pipeline:
                _ = (
                    pipeline
                    | "ReadExamples" >> source.BeamSource()
                    | "CheckRows" >> beam.Map(check)
                    | "Evaluate"
                    >> tfma.ExtractEvaluateAndWriteResults(
                        eval_config=eval_config,
                        eval_shared_model=models,
                        extractors=tfma.default_extractors(
                            eval_config=eval_config,
                            eval_shared_model=models,
                            custom_predict_extractor=predictions.predictions_of_signatures(
                                eval_config, models, silo_key
                            ),
                        ),
                        evaluators=_evaluators(eval_config),
                        output_path=output_uri,
                    )
                )
        except Exception as error:
            clean = checked_examples.clean_error(error)
            if clean is None:
                raise
            # Not from the runner's error, which repeats the message many times over.
            raise clean from None


def _eval_shared_models(
    eval_config: config_pb2.EvalConfig, input_dict: Mapping[str, list[types.Artifact]]
) -> list[tfma.EvalSharedModel]:
    keys = {evaluation_config.BASELINE: BASELINE_MODEL_KEY, evaluation_config.LOCAL: SILO_MODELS_KEY}
    models = []
    for spec in eval_config.model_specs:
        key = keys.get(spec.name, MODEL_KEY)
        artifact = artifact_utils.get_single_instance(input_dict[key])
        path = _saved_model_path(artifact, key)
        predictions.require_signature(path, key, spec.signature_name)
        models.append(
            tfma.default_eval_shared_model(eval_saved_model_path=path, model_name=spec.name, eval_config=eval_config)
        )
    return models


def _saved_model_path(artifact: types.Artifact, key: str) -> str:
    if key == SILO_MODELS_KEY:
        return path_utils.serving_model_path(artifact.uri)
    return path_utils.serving_model_path(artifact.uri, path_utils.is_old_model_artifact(artifact))


def _evaluators(eval_config: config_pb2.EvalConfig) -> list[tfma.evaluators.Evaluator]:
    evaluators = [
        metrics_plots_and_validations_evaluator.MetricsPlotsAndValidationsEvaluator(
            eval_config=evaluation_config.only_models(eval_config, local=False)
        )
    ]
    if any(spec.name == evaluation_config.LOCAL for spec in eval_config.model_specs):
        evaluators.append(local_evaluator.evaluator_of_defined_predictions(eval_config))
    return evaluators


def _judge(
    table: silo_table.SiloTable, eval_config: config_pb2.EvalConfig, evaluation_uri: str, properties: Mapping[str, Any]
) -> list[gate.Rule]:
    metric, rules = properties["metric"], []
    if properties.get("minimum_overall") is not None:
        rules.append(gate.judge_overall(table, metric, properties["minimum_overall"]))
    if properties.get("minimum_worst_silo") is not None:
        rules.append(gate.judge_worst_silo(table, metric, properties["minimum_worst_silo"], properties["minimum_rows"]))
    if evaluation_config.has_thresholds(eval_config):
        validation = tfma.load_validation_result(evaluation_uri)
        rules.append(gate.judge_thresholds(validation.validation_ok, list(_failures(validation))[:_FAILURES_IN_REASON]))
    return rules


def _failures(validation: validation_result_pb2.ValidationResult) -> Iterator[str]:
    for per_slice in validation.metric_validations_per_slice:
        key = slicer_lib.deserialize_slice_key(per_slice.slice_key)
        where = ", ".join(f"{column} {value!r}" for column, value in key) or "all rows"
        for failure in per_slice.failures:
            yield f"{failure.metric_key.name} on {where}" + (f" ({failure.message.strip()})" if failure.message else "")
    for spec in validation.missing_slices:
        yield f"the slice {slicer_lib.SingleSliceSpec(spec=spec)!r} is not in the examples"


def _write_blessing(
    blessing: types.Artifact,
    blessed: bool,
    input_dict: Mapping[str, list[types.Artifact]],
    properties: Mapping[str, Any],
) -> None:
    inputs = [
        (
            MODEL_KEY,
            constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY,
            constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY,
        ),
        (
            BASELINE_MODEL_KEY,
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY,
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY,
        ),
    ]
    for key, uri_property, id_property in inputs:
        if input_dict.get(key):
            model = artifact_utils.get_single_instance(input_dict[key])
            blessing.set_string_custom_property(uri_property, model.uri)
            blessing.set_int_custom_property(id_property, model.id)
    if "current_component_id" in properties:
        blessing.set_string_custom_property("component_id", properties["current_component_id"])
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    whole_files.write_text(os.path.join(blessing.uri, name), "")
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY, constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    )
