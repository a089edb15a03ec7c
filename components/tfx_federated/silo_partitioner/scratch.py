"""Files that workers write beside the output until they are whole."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
from tfx.dsl.io import fileio


def scratch_uri(uri: str) -> str:
    """Returns the folder for unfinished files of the artifact at `uri`; the executor removes it at the end."""
    return os.path.join(uri, ".partial")


@contextlib.contextmanager
def whole_file(scratch: str, uri: str) -> Iterator[IO[bytes]]:
    """Opens a binary file that appears at `uri` when it is whole.

    Each attempt has its own temporary name, so that two attempts of one Beam bundle, also at the same time, do no harm.

    Args:
        scratch: A folder on the same file system.
        uri: The file to write; one that is there is replaced.
    """
    temporary = os.path.join(scratch, uuid.uuid4().hex)
    with fileio.open(temporary, "wb") as file:
        yield file
    fileio.makedirs(os.path.dirname(uri))
    fileio.rename(temporary, uri, overwrite=True)


def write_table(scratch: str, uri: str, table: pa.Table) -> None:
    """Writes a Parquet file by `whole_file`."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    with whole_file(scratch, uri) as file:
        file.write(buffer.getvalue().to_pybytes())


def read_tables(pattern: str, schema: pa.Schema) -> pa.Table:
    """Reads all Parquet files of a pattern as one table, empty if there is none."""
    tables = [schema.empty_table()]
    for path in sorted(fileio.glob(pattern)):
        with fileio.open(path, "rb") as file:
            tables.append(pq.read_table(pa.BufferReader(file.read())))
    return pa.concat_tables(tables)
