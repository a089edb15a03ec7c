"""Scored rows of one silo, and the two formats that they are written in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import tensorflow as tf
from pyarrow import parquet
from tensorflow_serving.apis import prediction_log_pb2
from tfx.dsl.io import fileio

# `silo` is the partition; the other columns stand in every Parquet file beside the model's outputs.
RESERVED_COLUMNS = ("silo", "split", "source", "row")


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some scored rows of one input shard.

    Attributes:
        split: Name of the split.
        source: The shard, see `ExampleShard.source`.
        positions: int64 of shape [n]: positions in the shard, from 0.
        serialized: Object array of shape [n]: the serialized tf.Examples.
        outputs: By output name, arrays of shape [n, ...].
    """

    split: str
    source: str
    positions: np.ndarray
    serialized: np.ndarray
    outputs: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class OutputFormat:
    """How rows become a file.

    Attributes:
        suffix: End of the file names.
        write: Writes rows to a new file of the given name.
        keeps_examples: Whether `write` needs `Rows.serialized`.
    """

    suffix: str
    write: Callable[[str, Rows], None]
    keeps_examples: bool


def _write_parquet(uri: str, rows: Rows) -> None:
    count = len(rows.positions)
    columns = {
        "split": pa.repeat(rows.split, count),
        "source": pa.repeat(rows.source, count),
        "row": pa.array(rows.positions),
        **{name: _arrow_column(values) for name, values in rows.outputs.items()},
    }
    buffer = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), buffer)
    with fileio.open(uri, "wb") as file:
        file.write(buffer.getvalue().to_pybytes())


def _arrow_column(values: np.ndarray) -> pa.Array:
    """Turns [n] and [n, 1] into a plain column, [n, k] into lists, [n, k, l] into lists of lists, and so on."""
    return _arrow_array(values[:, 0] if values.shape[1:] == (1,) else values)


def _arrow_array(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values, type=pa.binary() if values.dtype == object else None)
    items = _arrow_array(values.reshape(-1, *values.shape[2:]))
    offsets = pa.array(np.arange(len(values) + 1) * values.shape[1], pa.int32())
    return pa.ListArray.from_arrays(offsets, items)


def _write_prediction_logs(uri: str, rows: Rows) -> None:
    with tf.io.TFRecordWriter(uri, "GZIP") as writer:
        for row, serialized in enumerate(rows.serialized):
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.model_spec.signature_name = "serving_default"
            log.predict_log.response.model_spec.signature_name = "serving_default"
            log.predict_log.request.inputs["examples"].CopyFrom(tf.make_tensor_proto([serialized]))
            for name, values in rows.outputs.items():
                log.predict_log.response.outputs[name].CopyFrom(tf.make_tensor_proto(values[row : row + 1]))
            writer.write(log.SerializeToString(deterministic=True))


OUTPUT_FORMATS: Mapping[str, OutputFormat] = {
    "parquet": OutputFormat(".parquet", _write_parquet, keeps_examples=False),
    "tfrecord": OutputFormat(".tfrecord.gz", _write_prediction_logs, keeps_examples=True),
}
