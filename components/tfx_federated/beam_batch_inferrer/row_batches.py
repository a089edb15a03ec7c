"""Rows on their way to the model, from either kind of input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
import tensorflow as tf

from tfx_federated import example_shards
from tfx_federated.beam_batch_inferrer import parquet_columns, parquet_shards
from tfx_federated.beam_batch_inferrer.example_features import ExampleFeatures
from tfx_federated.beam_batch_inferrer.named_features import NamedFeatures
from tfx_federated.beam_batch_inferrer.parquet_columns import ParquetFeatures
from tfx_federated.beam_batch_inferrer.serving_signature import ServingSignature

Shard = example_shards.ExampleShard | parquet_shards.ParquetShard


class RowBatch(Protocol):
    """Some rows of one shard.

    Attributes:
        positions: int64 of shape [n]: positions in the input file, from 0.
    """

    positions: np.ndarray

    def take(self, rows: np.ndarray) -> RowBatch:
        """Returns some of the rows, by their places in this batch."""

    def named_features(self) -> NamedFeatures:
        """Returns the silos and the other features that are asked for.

        Raises:
            FaultyRowsError: Rows that do not have them as they must.
        """

    def model_inputs(self, signature: ServingSignature) -> dict[str, tf.Tensor]:
        """Returns what the signature takes.

        Raises:
            FaultyRowsError: Rows that lack an input.
        """

    def records(self) -> pa.Array:
        """Returns the serialized rows; nulls where the input has none."""


class ExampleRows:
    """Serialized tf.Examples."""

    def __init__(self, serialized: tf.Tensor, positions: np.ndarray, features: ExampleFeatures) -> None:
        """Takes n rows.

        Args:
            serialized: String tensor of shape [n].
            positions: Their positions in the file.
            features: Reads their named features.
        """
        self.positions = positions
        self._serialized = serialized
        self._features = features

    def take(self, rows: np.ndarray) -> ExampleRows:
        """See `RowBatch`."""
        return ExampleRows(tf.gather(self._serialized, rows), self.positions[rows], self._features)

    def named_features(self) -> NamedFeatures:
        """See `RowBatch`."""
        return self._features.read(self._serialized)

    def model_inputs(self, signature: ServingSignature) -> dict[str, tf.Tensor]:
        """See `RowBatch`."""
        return {signature.input_names[0]: self._serialized}

    def records(self) -> pa.Array:
        """See `RowBatch`."""
        return pa.array(self._serialized.numpy(), pa.binary())


class ParquetRows:
    """Rows of a Parquet file."""

    def __init__(self, batch: pa.RecordBatch, positions: np.ndarray, features: ParquetFeatures) -> None:
        """Takes n rows.

        Args:
            batch: The rows.
            positions: Their positions in the file.
            features: Reads their named features.
        """
        self.positions = positions
        self._batch = batch
        self._features = features

    def take(self, rows: np.ndarray) -> ParquetRows:
        """See `RowBatch`."""
        return ParquetRows(self._batch.take(pa.array(rows)), self.positions[rows], self._features)

    def named_features(self) -> NamedFeatures:
        """See `RowBatch`."""
        return self._features.read(self._batch)

    def model_inputs(self, signature: ServingSignature) -> dict[str, tf.Tensor]:
        """See `RowBatch`."""
        return parquet_columns.to_tensors(self._batch, signature.inputs)

    def records(self) -> pa.Array:
        """See `RowBatch`: the position says where the row is, and the file can be edited there."""
        return pa.nulls(len(self.positions), pa.binary())


def read_examples(
    shard: example_shards.ExampleShard, features: ExampleFeatures, batch_size: int, batch_bytes: int
) -> Iterator[ExampleRows]:
    """Yields the rows of a TFRecord file in order, in batches that are bounded by rows and by bytes.

    Args:
        shard: The file.
        features: Reads the named features.
        batch_size: Most rows in a batch.
        batch_bytes: Most bytes of serialized rows in a batch; a single row may be larger.

    Raises:
        ShardError: The file is damaged or cut short.
    """
    start = 0
    for serialized in example_shards.read_batches(shard, batch_size):
        for part in _slices(tf.strings.length(serialized).numpy(), batch_bytes):
            rows = serialized if part == slice(0, len(serialized)) else serialized[part]
            yield ExampleRows(rows, np.arange(start + part.start, start + part.stop), features)
        start += len(serialized)


def read_parquet(
    shard: parquet_shards.ParquetShard, features: ParquetFeatures, batch_size: int, batch_bytes: int
) -> Iterator[ParquetRows]:
    """Yields the rows of some row groups in order; otherwise as `read_examples`, in bytes of Arrow's columns."""
    start = shard.first_row
    for batch in parquet_shards.read_batches(shard, batch_size, features.columns):
        bytes_per_row = -(-batch.nbytes // batch.num_rows)
        for part in _slices(np.full(batch.num_rows, bytes_per_row), batch_bytes):
            rows = batch.slice(part.start, part.stop - part.start)
            yield ParquetRows(rows, np.arange(start + part.start, start + part.stop), features)
        start += batch.num_rows


def _slices(bytes_of_rows: np.ndarray, maximum: int) -> list[slice]:
    """Cuts rows into runs of at most `maximum` bytes and at least one row."""
    ends = np.cumsum(bytes_of_rows, dtype=np.int64)
    slices: list[slice] = []
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + maximum, side="right")))
        slices.append(slice(start, end))
        start = end
    return slices
