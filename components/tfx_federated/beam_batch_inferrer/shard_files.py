"""The scored rows of one input shard on their way into files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import uuid
from collections.abc import Callable, Mapping

import pyarrow as pa
from tfx.dsl.io import fileio

from tfx_federated.beam_batch_inferrer.layouts import Layout
from tfx_federated.beam_batch_inferrer.output_formats import OutputFormat
from tfx_federated.beam_batch_inferrer.row_batches import Shard
from tfx_federated.beam_batch_inferrer.row_scoring import RECORD, ROW, ROW_ID, SILO, SOURCE, SPLIT
from tfx_federated.example_shards import ShardError

_READ_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class WrittenFile:
    """A file of results.

    Attributes:
        path: Below the output's folder.
        rows: Its rows.
        bytes: Its size.
        sha256: Its SHA-256, in hexadecimal.
    """

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclasses.dataclass
class SiloIndex:
    """Where the rows of silos stand, as columns of equal length: each entry is a run of one silo's rows in a file.

    Attributes:
        silo: The silo ids; None for rows without a silo.
        path: The files.
        first_row: The runs' first rows in them, from 0.
        rows: How many rows.
    """

    silo: list[str | None] = dataclasses.field(default_factory=list)
    path: list[str] = dataclasses.field(default_factory=list)
    first_row: list[int] = dataclasses.field(default_factory=list)
    rows: list[int] = dataclasses.field(default_factory=list)


class ShardFiles:
    """Collects tables of one shard, and writes them sorted by silo when enough have come together.

    The names of the files follow from the shard and from how often was written before: a repeated attempt replaces
    the files of the former one by equal ones.

    Attributes:
        written: The files so far.
        index: What is in them.
    """

    def __init__(
        self,
        folder: str,
        shard: Shard,
        layout: Layout,
        output_format: OutputFormat,
        buffer_bytes: int,
        metadata: Mapping[str, str],
        on_flush: Callable[[int, pa.Table], None] | None = None,
    ) -> None:
        """Starts with an empty buffer.

        Args:
            folder: Takes the files.
            shard: Where the rows come from.
            layout: Which rows stand in which file.
            output_format: How to write them.
            buffer_bytes: The buffer is written as soon as it holds so many bytes, at least 1.
            metadata: What Parquet files hold beside the rows.
            on_flush: Is called with the number of the flush, from 0, and its rows, before they are written.
        """
        self._folder = folder
        self._shard = shard
        self._layout = layout
        self._format = output_format
        self._buffer_bytes = buffer_bytes
        self._metadata = dict(metadata)
        self._on_flush = on_flush
        self._tables: list[pa.Table] = []
        self._bytes = 0
        self._flushes = 0
        self.written: list[WrittenFile] = []
        self.index = SiloIndex()

    def add(self, table: pa.Table) -> None:
        """Takes scored rows, or dead letters.

        Raises:
            ShardError: The columns are not those of the tables before.
        """
        if self._tables and not table.schema.equals(self._tables[0].schema, check_metadata=True):
            raise ShardError(
                f"the columns were {_described(self._tables[0])}, and are {_described(table)} in a later batch; the "
                "model's outputs must have a fixed type and shape"
            )
        self._tables.append(table)
        self._bytes += table.nbytes
        if self._bytes >= self._buffer_bytes:
            self.flush()

    def flush(self) -> None:
        """Writes what the buffer holds."""
        if not self._tables:
            return
        table = pa.concat_tables(self._tables)
        if self._on_flush:
            self._on_flush(self._flushes, table)
        name = f"part-{self._shard.number:05d}-{self._flushes:05d}"
        for content in self._layout(self._with_origin(table), name):
            path = content.path + self._format.suffix
            rows = content.table.replace_schema_metadata(self._metadata)
            self.written.append(self._write(path, rows, content.row_groups))
            for run in content.runs:
                self.index.silo.append(run.silo)
                self.index.path.append(path)
                self.index.first_row.append(run.start)
                self.index.rows.append(run.rows)
        self._tables, self._bytes = [], 0
        self._flushes += 1

    def _with_origin(self, table: pa.Table) -> pa.Table:
        """Adds where the rows come from, as far as the row id does not tell it."""
        origin = {SPLIT: self._shard.split}
        if ROW_ID in table.column_names:
            table = table.drop_columns(ROW)
        else:
            origin[SOURCE] = self._shard.source
        if RECORD in table.column_names and not self._format.keeps_records:
            table = table.drop_columns(RECORD)
        place = table.column_names.index(SILO) + 1
        codes = pa.repeat(pa.scalar(0, pa.int32()), len(table))
        for name, value in reversed(origin.items()):
            table = table.add_column(place, name, pa.DictionaryArray.from_arrays(codes, pa.array([value])))
        return table

    def _write(self, path: str, table: pa.Table, row_groups: list[int]) -> WrittenFile:
        uri = f"{self._folder}/{path}"
        # The leading dot hides what a killed attempt leaves behind from readers of the folder.
        temporary = f"{os.path.dirname(uri)}/.{os.path.basename(uri)}.{uuid.uuid4().hex}"
        fileio.makedirs(os.path.dirname(uri))
        try:
            self._format.write(temporary, table, row_groups)
            size, sha256 = _measured(temporary)
            fileio.rename(temporary, uri, overwrite=True)
        except BaseException:
            if fileio.exists(temporary):
                fileio.remove(temporary)
            raise
        return WrittenFile(path, len(table), size, sha256)


def _described(table: pa.Table) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in table.schema)


def _measured(uri: str) -> tuple[int, str]:
    """Returns size and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    with fileio.open(uri, "rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()
