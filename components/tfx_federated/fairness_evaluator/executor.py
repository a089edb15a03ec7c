"""TFX FairnessEvaluator executor."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from tfx_federated import example_shards, model_blessings, whole_files
from tfx_federated.fairness_evaluator import (
    checked_examples,
    compared_models,
    content,
    evaluation_config,
    evaluations,
    findings,
    gate,
    published_silos,
    report,
    rules,
    silo_census,
)
from tfx_federated.statistics import evidence

EXAMPLES_KEY = "examples"
EVALUATION_KEY = "evaluation"
BLESSING_KEY = "blessing"
REPORT_KEY = "report"

_FAILURES_IN_REASON = 10
# So many silos take minutes and gigabytes; a feature such as a row id is easily given by mistake.
_MANY_SILOS = 200_000


@contextlib.contextmanager
def _collecting_new_objects_only() -> Iterator[None]:
    # The imports leave a million objects; walking them in each full collection is a sixth of an evaluation's time.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor for FairnessEvaluator."""

    @_collecting_new_objects_only()
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates the models, judges the candidate and writes evaluation, report and blessing, in this order.

        Args:
            input_dict: `examples` (one or several), `model`; `baseline_model`, `local_models` and `silo_models` where
                given.
            output_dict: `evaluation`, `blessing`, `report`.
            exec_properties: As in the component; `eval_config`, `example_splits` and `rules` are JSON.

        Raises:
            FileExistsError: An output folder is not empty.
            ShardError: A file of examples is damaged.
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
        scratch = f"{uris[EVALUATION_KEY]}/.scratch"
        fileio.makedirs(scratch)
        try:
            found = self._evaluate(input_dict, exec_properties, uris[EVALUATION_KEY], scratch)
        finally:
            fileio.rmtree(scratch)
        judgements = gate.judge(found.table, rules.decode(exec_properties["rules"]), found.parity)
        if found.validation is not None:
            failures = list(_failures(found.validation))[:_FAILURES_IN_REASON]
            judgements.append(gate.judge_thresholds(found.validation.validation_ok, failures))
        model = artifact_utils.get_single_instance(input_dict[compared_models.MODEL_KEY])
        baseline = input_dict.get(compared_models.BASELINE_MODEL_KEY)
        settings = content.Settings(
            model=model.uri,
            confidence=exec_properties["confidence"],
            minimums=_minimums(exec_properties),
            privacy_minimum=exec_properties.get("privacy_minimum"),
            parity_threshold=evaluations.PARITY_THRESHOLD,
        )
        values = content.of_findings(found, judgements, settings)
        report.write(uris[REPORT_KEY], values)
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        model_blessings.write(blessing, values["blessed"], exec_properties, model, baseline[0] if baseline else None)
        logging.info("FairnessEvaluator: blessed=%s, report in %s", values["blessed"], uris[REPORT_KEY])

    def _evaluate(
        self,
        input_dict: Mapping[str, list[types.Artifact]],
        exec_properties: Mapping[str, Any],
        evaluation_uri: str,
        scratch: str,
    ) -> findings.Findings:
        silo_key, metric = exec_properties["silo_key"], exec_properties["metric"]
        eval_config = evaluation_config.complete(
            json_format.Parse(exec_properties["eval_config"], config_pb2.EvalConfig()),
            silo_key,
            has_baseline=bool(input_dict.get(compared_models.BASELINE_MODEL_KEY)),
            own_models=[key for key in compared_models.OWN_MODELS if input_dict.get(key)],
        )
        evaluation_config.require_metric(eval_config, metric)
        models = compared_models.load(eval_config, input_dict)
        shards = example_shards.find_shards(input_dict[EXAMPLES_KEY], json.loads(exec_properties["example_splits"]))
        request = evaluations.Request(
            shards=shards,
            silo_key=silo_key,
            eval_config=eval_config,
            models=models,
            silos=self._silos(shards, silo_key, eval_config, scratch, exec_properties.get("privacy_minimum")),
            metric=metric,
            minimums=_minimums(exec_properties),
            privacy_minimum=exec_properties.get("privacy_minimum"),
            confidence=exec_properties["confidence"],
            output_uri=evaluation_uri,
            scratch=scratch,
        )
        return self._with_clean_errors(evaluations.run, request, self._make_beam_pipeline)

    def _silos(
        self,
        shards: Sequence[example_shards.ExampleShard],
        silo_key: str,
        eval_config: config_pb2.EvalConfig,
        scratch: str,
        privacy_minimum: int | None,
    ) -> published_silos.PublishedSilos:
        counts = f"{scratch}/silos.json"

        def count() -> None:
            with self._make_beam_pipeline() as pipeline:
                silo_census.count_rows(pipeline, shards, silo_key, evaluation_config.label_key(eval_config), counts)

        self._with_clean_errors(count)
        census = silo_census.read(counts, silo_key)
        rows = sum(census.rows.values())
        logging.info("FairnessEvaluator: feature %r names %d silos in %d rows", silo_key, len(census.rows), rows)
        if len(census.rows) > _MANY_SILOS:
            logging.warning(
                "FairnessEvaluator: %d silos take long and fill the report; does %r name a row's silo, or the row?",
                len(census.rows),
                silo_key,
            )
        return published_silos.publish(census.rows, census.are_integers, privacy_minimum)

    def _with_clean_errors(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            clean = checked_examples.clean_error(error)
            if clean is None:
                raise
            # Not from the runner's error, which repeats the message many times over.
            raise clean from None


def _minimums(exec_properties: Mapping[str, Any]) -> evidence.Minimums:
    of_class = exec_properties["minimum_class_rows"]
    return evidence.Minimums(exec_properties["minimum_rows"], of_class, of_class)


def _failures(validation: validation_result_pb2.ValidationResult) -> Iterator[str]:
    for per_slice in validation.metric_validations_per_slice:
        key = slicer_lib.deserialize_slice_key(per_slice.slice_key)
        where = ", ".join(f"{column} {value!r}" for column, value in key) or "all rows"
        for failure in per_slice.failures:
            yield f"{failure.metric_key.name} on {where}" + (f" ({failure.message.strip()})" if failure.message else "")
    for spec in validation.missing_slices:
        yield f"the slice {slicer_lib.SingleSliceSpec(spec=spec)!r} is not in the examples"
