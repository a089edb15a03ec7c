"""TFX ContributionEvaluator executor."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from tff_runtime.settings import encoding
from tfx_federated import coalition_training, model_blessings, silo_examples, whole_files
from tfx_federated.contribution_evaluator import (
    content,
    evaluation,
    federated_run,
    gate,
    held_out_rows,
    methods,
    model_function,
    own_models,
    report,
    retraining,
    rules,
    utilities,
)
from tfx_federated.statistics import evidence

SILO_EXAMPLES_KEY = "silo_examples"
FEDERATED_RUN_KEY = "federated_run"
MODEL_KEY = "model"
LOCAL_MODELS_KEY = "local_models"
SILO_MODELS_KEY = "silo_models"
# What coalitions of silos are trained again from.
TRAINER_INPUTS = ("transform_graph", "schema", "base_model")
REPORT_KEY = "report"
BLESSING_KEY = "blessing"

_NAME_OF_OWN_MODELS = {LOCAL_MODELS_KEY: evaluation.LOCAL, SILO_MODELS_KEY: evaluation.PERSONALISED}


class Executor(base_executor.BaseExecutor):
    """Executor for ContributionEvaluator."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Measures contributions and benefits, looks for free riders, and writes report and blessing, in this order.

        Args:
            input_dict: As in `component.ContributionEvaluatorSpec`.
            output_dict: `report`, `blessing`.
            exec_properties: As in the component; `utility`, `method` and `rules` are JSON.

        Raises:
            FileExistsError: An output folder is not empty.
            ValueError: The inputs are broken, or not of one training; the message says why.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        uris = {name: artifact_utils.get_single_uri(output_dict[name]) for name in (REPORT_KEY, BLESSING_KEY)}
        for name, uri in uris.items():
            whole_files.require_empty(uri, name)
        settings = _settings(exec_properties)
        asked = rules.decode(exec_properties["rules"])
        ledger = federated_run.read(artifact_utils.get_single_uri(input_dict[FEDERATED_RUN_KEY]))
        function = model_function.ModelFunction(ledger.model_path)
        reader = silo_examples.SiloExamplesReader(artifact_utils.get_single_uri(input_dict[SILO_EXAMPLES_KEY]))
        rows = held_out_rows.read(reader, settings.split, function.feature_specs, ledger.settings["label_key"])
        own = {
            name: own_models.read(artifact_utils.get_single_uri(input_dict[key]), function.parameters)
            for key, name in _NAME_OF_OWN_MODELS.items()
            if input_dict.get(key)
        }
        trainer = _trainer(input_dict, exec_properties, ledger.uri)
        found = evaluation.evaluate(ledger, rows, evaluation.Models(function, own), settings, trainer)
        values = content.of_evaluation(found, gate.judge(found, asked))
        report.write(uris[REPORT_KEY], values)
        _describe(output_dict, values, artifact_utils.get_single_instance(input_dict[MODEL_KEY]), exec_properties)
        logging.info("ContributionEvaluator: blessed=%s, report in %s", values["blessed"], uris[REPORT_KEY])


def _settings(exec_properties: Mapping[str, Any]) -> evaluation.Settings:
    class_rows = exec_properties["minimum_class_rows"]
    return evaluation.Settings(
        split=exec_properties["split"],
        utility=encoding.decode(exec_properties["utility"], utilities.ALTERNATIVES, "utility"),
        method=encoding.decode(exec_properties["method"], methods.ALTERNATIVES, "method"),
        minimums=evidence.Minimums(exec_properties["minimum_rows"], class_rows, class_rows),
        confidence=exec_properties["confidence"],
        false_discovery_rate=exec_properties["false_discovery_rate"],
        seed=exec_properties["seed"],
    )


def _trainer(
    input_dict: Mapping[str, list[types.Artifact]], exec_properties: Mapping[str, Any], run_uri: str
) -> retraining.Trainer | None:
    module_file = exec_properties.get("module_file")
    if not module_file:
        return None
    inputs = {key: input_dict[key] for key in (SILO_EXAMPLES_KEY, *TRAINER_INPUTS) if input_dict.get(key)}

    def train(coalitions: Sequence[Collection[str]]) -> federated_run.Vectors:
        tff_python = exec_properties.get("tff_python")
        return coalition_training.train(inputs, run_uri, module_file, coalitions, tff_python).weights

    return train


def _describe(
    output_dict: Mapping[str, list[types.Artifact]],
    values: Mapping[str, Any],
    model: types.Artifact,
    exec_properties: Mapping[str, Any],
) -> None:
    report_artifact = artifact_utils.get_single_instance(output_dict[REPORT_KEY])
    found = {finding["silo"] for finding in values["findings"]}
    report_artifact.set_int_custom_property("silos", len(values["silos"]))
    report_artifact.set_int_custom_property("found_silos", len(found))
    report_artifact.set_int_custom_property("blessed", int(values["blessed"]))
    blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
    model_blessings.write(blessing, values["blessed"], exec_properties, model)
