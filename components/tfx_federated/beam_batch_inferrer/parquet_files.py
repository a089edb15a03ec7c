"""Parquet files on any file system that TFX and Beam know."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
from apache_beam.io import filesystem, filesystems
from pyarrow import parquet
from tfx.dsl.io import fileio


@contextlib.contextmanager
def opened(uri: str) -> Iterator[parquet.ParquetFile]:
    """Yields a file to read.

    Raises:
        pa.ArrowInvalid: It is no Parquet file.
    """
    # TensorFlow's file objects are not what Arrow takes for a file.
    plain = filesystem.CompressionTypes.UNCOMPRESSED
    with filesystems.FileSystems.open(uri, compression_type=plain) as file, parquet.ParquetFile(file) as found:
        yield found


def write(uri: str, table: pa.Table, row_groups: Sequence[int]) -> None:
    """Writes a table in row groups of the given lengths, at least 1 each."""
    buffer = pa.BufferOutputStream()
    # Numbers that hardly repeat, as predictions and positions do, would make a dictionary for nothing.
    repeated = [field.name for field in table.schema if pa.types.is_dictionary(field.type) or _is_text(field.type)]
    # Without Arrow's own schema, a text comes back as a text, whatever it was encoded as here.
    with parquet.ParquetWriter(buffer, table.schema, store_schema=False, use_dictionary=repeated) as writer:
        start = 0
        for rows in row_groups:
            writer.write_table(table.slice(start, rows), row_group_size=rows)
            start += rows
        # Arrow's schema, which is not stored, would have taken it along.
        if table.schema.metadata:
            writer.add_key_value_metadata(table.schema.metadata)
    with fileio.open(uri, "wb") as file:
        file.write(buffer.getvalue().to_pybytes())


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)
