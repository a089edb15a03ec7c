"""The format of a SiloExamples artifact, and its reader.

Below the artifact's URI lie:

- `Split-<split>/shard-00000-of-00004.tfrecord`: uncompressed TFRecords of tf.Examples, serialized with their
  features in alphabetical order, sorted by silo (order of the UTF-8 bytes) and inside a silo by the bytes of the
  record. A silo's rows of one split lie side by side in exactly one shard. A shard without rows has no file.
- `index.parquet`: one row per (split, silo), sorted so; the columns are the fields of `SiloEntry`.
- `set_aside/<split>-00000-of-00004.parquet`: the rows that were put aside, see
  `tfx_federated.silo_partitioner.set_aside`.
- `counts.json`: what became of every row. It is written last: an artifact without it is not whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io import tfrecordio
from tfx.dsl.io import fileio

from tfx_federated import whole_files

INDEX_FILE = "index.parquet"
COUNTS_FILE = "counts.json"
# `rows_without_silo` of the partitioner: this, and the silo that such rows are given.
ASSIGN = "assign:"
INDEX_SCHEMA = pa.schema(
    [
        ("silo", pa.string()),
        ("split", pa.string()),
        ("shard", pa.int32()),
        ("offset", pa.int64()),
        ("bytes", pa.int64()),
        ("rows", pa.int64()),
        ("checksum", pa.string()),
    ]
)


class SiloExamplesError(ValueError):
    """A SiloExamples artifact is not whole, or its files do not say what its index says."""


@dataclasses.dataclass(frozen=True)
class SiloEntry:
    """Where the rows of one silo in one split lie.

    Attributes:
        silo: The silo id, an opaque non-empty string.
        split: Name of the split.
        shard: Number of the shard, from 0.
        offset: First byte of the silo's range in the shard's file.
        bytes: Length of the range, in bytes.
        rows: Number of rows in the range, at least 1.
        checksum: SHA-256 of the range, in hexadecimal.
    """

    silo: str
    split: str
    shard: int
    offset: int
    bytes: int
    rows: int
    checksum: str


def shard_uri(uri: str, split: str, shard: int, shards: int) -> str:
    """Returns the file of one shard."""
    return os.path.join(uri, f"Split-{split}", f"shard-{shard:05d}-of-{shards:05d}.tfrecord")


def to_byte_range(records: Iterable[bytes]) -> bytes:
    """Returns records in TFRecord framing (length, CRC, record, CRC)."""
    framed = io.BytesIO()
    for record in records:
        tfrecordio._TFRecordUtil.write_record(framed, record)
    return framed.getvalue()


def from_byte_range(byte_range: bytes) -> Iterator[bytes]:
    """Yields the records of a byte range in TFRecord framing.

    Raises:
        ValueError: The bytes are not whole TFRecords.
    """
    framed = io.BytesIO(byte_range)
    while (record := tfrecordio._TFRecordUtil.read_record(framed)) is not None:
        yield record


def checksum_of(byte_range: bytes) -> str:
    """Returns the checksum that the index holds for a byte range."""
    return hashlib.sha256(byte_range).hexdigest()


class SiloExamplesReader:
    """Reads a SiloExamples artifact silo by silo.

    ```
    reader = SiloExamplesReader(artifact.uri)
    for entry in reader.entries("train"):
        for serialized_example in reader.read(entry):
            ...
    ```

    The index is held in memory (about 0.5 KB per silo and split); of the rows, those of one silo in one split at a
    time.

    Attributes:
        splits: Names of the splits, as the partitioner was given them.
        silos: Ids of all silos, sorted. Every one has at least the partitioner's `minimum_rows`.
        silo_key: Name of the feature that holds the silo.
        assigned_silo: The silo that rows without one were given, None if they were given none.
        counts: The content of `counts.json`: what became of every row.
    """

    def __init__(self, uri: str) -> None:
        """Reads the index.

        Args:
            uri: URI of the artifact.

        Raises:
            SiloExamplesError: The artifact is not whole, or index and counts contradict each other.
        """
        self._uri = uri
        self.counts = _read_counts(uri)
        self.splits: list[str] = list(self.counts["splits"])
        self.silo_key: str = self.counts["silo_key"]
        rule = self.counts["rows_without_silo"]
        self.assigned_silo: str | None = rule.removeprefix(ASSIGN) if rule.startswith(ASSIGN) else None
        self._shards: int = self.counts["shards"]
        self._entries: dict[str, list[SiloEntry]] = {split: [] for split in self.splits}
        for row in _read_index(uri).to_pylist():
            if row["split"] not in self._entries:
                raise SiloExamplesError(f"{uri}: {INDEX_FILE} names split {row['split']!r}, {COUNTS_FILE} does not")
            self._entries[row["split"]].append(SiloEntry(**row))
        self.silos: list[str] = sorted({entry.silo for entries in self._entries.values() for entry in entries})
        indexed, kept = sum(entry.rows for entries in self._entries.values() for entry in entries), self.counts["kept"]
        if indexed != kept:
            raise SiloExamplesError(f"{uri}: {INDEX_FILE} holds {indexed} rows, {COUNTS_FILE} says {kept}")

    def entries(self, split: str) -> list[SiloEntry]:
        """Returns the entries of one split, sorted by silo.

        Raises:
            SiloExamplesError: There is no such split.
        """
        if split not in self._entries:
            raise SiloExamplesError(f"{self._uri} has no split {split!r}; there are {self.splits}")
        return list(self._entries[split])

    def read(self, entry: SiloEntry) -> Iterator[bytes]:
        """Returns the serialized tf.Examples of one silo in one split, sorted by their bytes.

        Args:
            entry: One of `entries`.

        Raises:
            SiloExamplesError: The shard is missing or is not what the partitioner wrote.
        """
        shard = shard_uri(self._uri, entry.split, entry.shard, self._shards)
        place = f"shard {shard}, silo {entry.silo!r}"
        if not fileio.exists(shard):
            raise SiloExamplesError(f"{place}: the file is missing; run SiloPartitioner again")
        with fileio.open(shard, "rb") as file:
            file.seek(entry.offset)
            byte_range = file.read(entry.bytes)
        if checksum_of(byte_range) != entry.checksum:
            raise SiloExamplesError(
                f"{place}: bytes {entry.offset} to {entry.offset + entry.bytes} are not those that were written "
                "(checksum); run SiloPartitioner again"
            )
        return _counted(from_byte_range(byte_range), entry.rows, place)


def _counted(records: Iterator[bytes], rows: int, place: str) -> Iterator[bytes]:
    count = 0
    for record in records:
        count += 1
        yield record
    if count != rows:
        raise SiloExamplesError(f"{place}: {count} rows, {INDEX_FILE} says {rows}; run SiloPartitioner again")


def _read_counts(uri: str) -> dict[str, Any]:
    path = os.path.join(uri, COUNTS_FILE)
    if not fileio.exists(path):
        raise SiloExamplesError(f"{uri} has no {COUNTS_FILE}: SiloPartitioner did not finish; run it again")
    return whole_files.read_json(path)


def _read_index(uri: str) -> pa.Table:
    path = os.path.join(uri, INDEX_FILE)
    if not fileio.exists(path):
        raise SiloExamplesError(f"{uri} has no {INDEX_FILE}; run SiloPartitioner again")
    try:
        with fileio.open(path, "rb") as file:
            index = pq.read_table(pa.BufferReader(file.read()))
    except pa.ArrowInvalid as error:
        raise SiloExamplesError(f"{path} is not a Parquet file; run SiloPartitioner again") from error
    if not index.schema.equals(INDEX_SCHEMA):
        raise SiloExamplesError(f"{path} has columns {index.schema.names}, expected {INDEX_SCHEMA.names}")
    return index
