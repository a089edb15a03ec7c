"""TFMA's file of metrics, written for all slices at once.

TFMA builds a proto per slice and metric, which takes most of the time where slices are many. The slices of one
specification differ in their keys and numbers only: one record is serialized, and the numbers are put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.api import types as tfma_types
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import metrics_for_slice_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from tfx_federated.fairness_evaluator import slice_results
from tfx_federated.statistics import arrays


@dataclass(frozen=True)
class Bounds:
    """Confidence bounds of a metric, [slices] each; NaN where there are none."""

    lower: arrays.Vector
    upper: arrays.Vector


def write(
    folder: str,
    results: Sequence[tuple[slice_results.SliceResults, Mapping[metric_types.MetricKey, Bounds]]],
) -> None:
    """Writes the metrics as `tfma.load_metrics` and `tfma.load_eval_result` read them.

    Args:
        folder: Folder of the evaluation.
        results: Metrics, and the bounds that some have.
    """
    path = f"{folder}/{constants.METRICS_KEY}-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(path) as writer:
        for metrics, bounds in results:
            for record in _records(metrics, bounds):
                writer.write(record)


def _records(results: slice_results.SliceResults, bounds: Mapping[metric_types.MetricKey, Bounds]) -> Sequence[bytes]:
    keys = sorted(key for key, values in results.values.items() if values.dtype != object)
    has_value = np.stack([_has_value(results, key) for key in keys], axis=-1)
    has_bounds = np.stack(
        [np.isfinite(bounds[key].lower) if key in bounds else np.zeros(len(results.slices), bool) for key in keys],
        axis=-1,
    )
    records = [b""] * len(results.slices)
    shapes, shape_of_slice = np.unique(np.hstack([has_value, has_bounds]), axis=0, return_inverse=True)
    for number, shape in enumerate(shapes):
        chosen = np.flatnonzero(shape_of_slice.reshape(-1) == number)
        body = b""
        columns: list[tuple[int, arrays.Vector]] = []
        for place, key in enumerate(keys):
            if not shape[place]:
                continue
            numbers = [results.values[key][chosen]]
            if shape[len(keys) + place]:
                numbers += [bounds[key].lower[chosen], bounds[key].upper[chosen]]
            body, columns = _extended(body, columns, key, numbers)
        for slice_number, text in zip(chosen, _filled(body, columns, len(chosen)), strict=True):
            records[slice_number] = _slice_key(results.slices[slice_number]) + text
    for key in sorted(set(results.values) - set(keys)):
        for slice_number in np.flatnonzero(_has_value(results, key)):
            records[slice_number] += _structured(key, results.values[key][slice_number])
    return records


def _has_value(results: slice_results.SliceResults, key: metric_types.MetricKey) -> arrays.Mask:
    return results.present[key.model_name]


def _structured(key: metric_types.MetricKey, value: tfma_types.StructuredMetricValue) -> bytes:
    record = metrics_for_slice_pb2.MetricsForSlice()
    record.metric_keys_and_values.add(key=key.to_proto(), value=value.to_proto())
    return record.SerializeToString()


def _slice_key(key: slicer_lib.SliceKeyType) -> bytes:
    return metrics_for_slice_pb2.MetricsForSlice(slice_key=slicer_lib.serialize_slice_key(key)).SerializeToString()


def _extended(
    body: bytes, columns: list[tuple[int, arrays.Vector]], key: metric_types.MetricKey, numbers: list[arrays.Vector]
) -> tuple[bytes, list[tuple[int, arrays.Vector]]]:
    """Returns the body with one more metric, and the places of its numbers."""
    # Numbers that occur nowhere else in the record, each another one.
    marks = [float.fromhex(f"0x1.deadbeef{place:03x}p+300") for place in range(len(numbers))]
    record = metrics_for_slice_pb2.MetricsForSlice()
    pair = record.metric_keys_and_values.add(key=key.to_proto())
    pair.value.double_value.value = marks[0]
    if len(marks) > 1:
        pair.confidence_interval.lower_bound.double_value.value = marks[1]
        pair.confidence_interval.upper_bound.double_value.value = marks[2]
    text = record.SerializeToString()
    places = [len(body) + text.index(np.float64(mark).astype("<f8").tobytes()) for mark in marks]
    return body + text, [*columns, *zip(places, numbers, strict=True)]


def _filled(body: bytes, columns: list[tuple[int, arrays.Vector]], number: int) -> list[bytes]:
    texts = np.tile(np.frombuffer(body, np.uint8), (number, 1))
    for place, values in columns:
        texts[:, place : place + 8] = values.astype("<f8").view(np.uint8).reshape(number, 8)
    return [text.tobytes() for text in texts]
