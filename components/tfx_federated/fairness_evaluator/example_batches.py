"""The rows to evaluate, in large Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_model_analysis import constants
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import record_based_tfxio

from tfx_federated import example_shards

_ROWS_IN_BATCH = 16384


def read(shards: Sequence[example_shards.ExampleShard]) -> beam.PTransform:
    """Returns a transform of a pipeline into batches of rows, `pa.RecordBatch` as TFXIO makes them.

    Each feature is a column of lists, and the serialized rows are in TFMA's input column. TFXIO's own source is an
    element for each row until it batches them; here an element is a shard.

    Args:
        shards: Shards of tf.Examples.
    """
    return _ReadBatches(list(shards))


def values_of_rows(batch: pa.RecordBatch, feature: str) -> pa.Array:
    """Returns a feature's value in each row; null where a row has none or the batch lacks the feature.

    Args:
        batch: Rows with at most one value of the feature each.
        feature: Name of the feature.
    """
    position = batch.schema.get_field_index(feature)
    if position < 0 or pa.types.is_null(batch.column(position).type):
        return pa.nulls(batch.num_rows)
    column = batch.column(position)
    places = np.full(batch.num_rows, -1, np.int64)
    places[pc.list_parent_indices(column)] = np.arange(len(column.flatten()))
    return column.flatten().take(pa.array(places, mask=places < 0))


class _ReadBatches(beam.PTransform):
    def __init__(self, shards: list[example_shards.ExampleShard]) -> None:
        super().__init__()
        self._shards = shards

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[pa.RecordBatch]:
        return pipeline | beam.Create(self._shards) | beam.Reshuffle() | beam.ParDo(_ReadShard())


class _ReadShard(beam.DoFn):
    def setup(self) -> None:
        self._decoder = example_coder.ExamplesToRecordBatchDecoder()

    def process(self, shard: example_shards.ExampleShard) -> Iterator[pa.RecordBatch]:
        for batch in example_shards.read_batches(shard, _ROWS_IN_BATCH):
            rows = batch.numpy()
            decoded = self._decoder.DecodeBatch(rows)
            yield record_based_tfxio.AppendRawRecordColumn(decoded, constants.ARROW_INPUT_COLUMN, rows.tolist())
