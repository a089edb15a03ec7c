"""TFMA's thresholds, held against the metrics of many slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer

from tfx_federated.fairness_evaluator import slice_results
from tfx_federated.statistics import arrays

_Thresholds = Mapping[metric_types.MetricKey, Sequence[tuple[config_pb2.SlicingSpec | None, Any]]]


def validate(
    results: Sequence[slice_results.SliceResults], eval_config: config_pb2.EvalConfig
) -> validation_result_pb2.ValidationResult:
    """Returns TFMA's verdict on the thresholds of a configuration.

    Args:
        results: Metrics of every specification.
        eval_config: Completed configuration.
    """
    # TFMA looks through all metrics of the configuration for each slice.
    narrow = config_pb2.EvalConfig()
    narrow.CopyFrom(eval_config)
    del narrow.metrics_specs[:]
    narrow.metrics_specs.extend(_with_thresholds_only(eval_config))
    thresholds = metric_specs.metric_thresholds_from_metrics_specs(narrow.metrics_specs, eval_config=narrow)
    combine = metrics_plots_and_validations_writer.CombineValidations(narrow)
    accumulator = combine.create_accumulator()
    for result in results if thresholds else ():
        for validation in _validations(result, thresholds, narrow):
            accumulator = combine.add_input(accumulator, validation)
    return combine.extract_output(accumulator)


def write(folder: str, validation: validation_result_pb2.ValidationResult) -> None:
    """Writes the verdict as `tfma.load_validation_result` reads it.

    Args:
        folder: Folder of the evaluation.
        validation: The verdict.
    """
    with tf.io.TFRecordWriter(f"{folder}/{constants.VALIDATIONS_KEY}.tfrecord") as writer:
        writer.write(validation.SerializeToString())


def _with_thresholds_only(eval_config: config_pb2.EvalConfig) -> Iterator[config_pb2.MetricsSpec]:
    for spec in eval_config.metrics_specs:
        if metric_specs.metric_thresholds_from_metrics_specs([spec], eval_config=eval_config):
            yield spec


def _validations(
    result: slice_results.SliceResults, thresholds: _Thresholds, eval_config: config_pb2.EvalConfig
) -> Iterator[validation_result_pb2.ValidationResult]:
    surely_ok = _surely_ok(result, thresholds)
    for number in np.flatnonzero(~surely_ok):
        yield metrics_validator.validate_metrics(_metrics(result, int(number), thresholds), eval_config)
    if surely_ok.any():
        # All of them have the same verdict, and no failure to tell.
        verdict = metrics_validator.validate_metrics(
            _metrics(result, int(np.flatnonzero(surely_ok)[0]), thresholds), eval_config
        )
        for details in verdict.validation_details.slicing_details:
            details.num_matching_slices *= int(surely_ok.sum())
        yield verdict


def _surely_ok(result: slice_results.SliceResults, thresholds: _Thresholds) -> arrays.Mask:
    """Returns which slices hold all thresholds by their values alone; the slices are of one specification."""
    ok = np.ones(len(result.slices), np.bool_)
    for key, slices_and_thresholds in thresholds.items():
        for spec, threshold in slices_and_thresholds:
            values = result.values.get(key)
            if values is None or not isinstance(threshold, config_pb2.GenericValueThreshold):
                return np.zeros(len(result.slices), np.bool_)
            if spec is not None and spec.feature_values:
                # It may be about some of the slices.
                return np.zeros(len(result.slices), np.bool_)
            if spec is not None and not slicer_lib.SingleSliceSpec(spec=spec).is_slice_applicable(result.slices[0]):
                continue
            if threshold.HasField("lower_bound"):
                ok &= values >= threshold.lower_bound.value
            if threshold.HasField("upper_bound"):
                ok &= values <= threshold.upper_bound.value
            ok &= result.present[key.model_name]
    return ok


def _metrics(
    result: slice_results.SliceResults, number: int, thresholds: _Thresholds
) -> tuple[slicer_lib.SliceKeyType, dict[metric_types.MetricKey, np.float64]]:
    # A relative threshold needs the baseline's value beside the difference.
    numbers = [key for key, values in result.values.items() if values.dtype != object]
    wanted = [key for key in numbers if key in thresholds or not key.is_diff]
    return result.slices[number], {
        key: np.float64(result.values[key][number]) for key in wanted if result.present[key.model_name][number]
    }
