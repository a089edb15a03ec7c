"""The examples with their predictions as added features, for components that take Examples."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import tensorflow as tf
from tfx.dsl.io import fileio

from tfx_federated.beam_batch_inferrer import encoded_rows
from tfx_federated.beam_batch_inferrer.row_batches import Shard
from tfx_federated.beam_batch_inferrer.row_scoring import RECORD, ROW, SHAPE

Write = Callable[[Sequence[pa.Table]], None]


@contextlib.contextmanager
def writer(folder: str, shard: Shard) -> Iterator[Write]:
    """Yields a function that writes the scored tables of a batch, in the order of the rows.

    The file is there when the block ends without an error: gzip-compressed TFRecords in the folder of the split.

    Args:
        folder: Takes the splits.
        shard: Where the rows come from.
    """
    uri = f"{folder}/Split-{shard.split}/data_tfrecord-{shard.number:05d}.gz"
    temporary = f"{os.path.dirname(uri)}/.{os.path.basename(uri)}.{uuid.uuid4().hex}"
    fileio.makedirs(os.path.dirname(uri))
    try:
        with tf.io.TFRecordWriter(temporary, "GZIP") as file:

            def write(scored: Sequence[pa.Table]) -> None:
                for record in _with_predictions(scored):
                    file.write(record)

            yield write
        fileio.rename(temporary, uri, overwrite=True)
    except BaseException:
        if fileio.exists(temporary):
            fileio.remove(temporary)
        raise


def _with_predictions(scored: Sequence[pa.Table]) -> Sequence[bytes]:
    tables = [table for table in scored if len(table)]
    if not tables:
        return []
    table = pa.concat_tables(tables).sort_by(ROW).combine_chunks()
    outputs = [field.name for field in table.schema if field.metadata and SHAPE in field.metadata]
    # Two serialized tf.Examples, one behind the other, are one with the features of both.
    records = tf.constant(table.column(RECORD).to_numpy(), tf.string)
    return tf.strings.join([records, encoded_rows.as_examples(table, outputs)]).numpy()
