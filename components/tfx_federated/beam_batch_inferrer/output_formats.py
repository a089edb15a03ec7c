"""The formats that files of results are written in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import tensorflow as tf

from tfx_federated.beam_batch_inferrer import encoded_rows, parquet_files
from tfx_federated.beam_batch_inferrer.row_scoring import SHAPE

# Rows that are encoded in one go.
_ROWS_ENCODED = 1 << 14


@dataclasses.dataclass(frozen=True)
class OutputFormat:
    """How rows become a file.

    Attributes:
        suffix: End of the file names.
        write: Writes a table to a new file of the given name, in row groups of the given lengths.
        keeps_records: Whether `write` needs the column `record`.
    """

    suffix: str
    write: Callable[[str, pa.Table, Sequence[int]], None]
    keeps_records: bool = False


def write_records(uri: str, encoded: Iterable[tf.Tensor]) -> None:
    """Writes serialized records as gzip-compressed TFRecords."""
    with tf.io.TFRecordWriter(uri, "GZIP") as writer:
        for records in encoded:
            for record in records.numpy():
                writer.write(record)


def _write_examples(uri: str, table: pa.Table, row_groups: Sequence[int]) -> None:
    del row_groups
    write_records(uri, (encoded_rows.as_examples(part, table.column_names) for part in _parts(table)))


def _write_prediction_logs(uri: str, table: pa.Table, row_groups: Sequence[int]) -> None:
    del row_groups
    outputs = [field.name for field in table.schema if field.metadata and SHAPE in field.metadata]
    write_records(uri, (encoded_rows.as_prediction_logs(part, outputs) for part in _parts(table)))


def _parts(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, len(table), _ROWS_ENCODED):
        yield table.slice(start, _ROWS_ENCODED)


OUTPUT_FORMATS: Mapping[str, OutputFormat] = {
    "parquet": OutputFormat(".parquet", parquet_files.write),
    "tf_example": OutputFormat(".tfrecord.gz", _write_examples),
    "prediction_log": OutputFormat(".tfrecord.gz", _write_prediction_logs, keeps_records=True),
}
