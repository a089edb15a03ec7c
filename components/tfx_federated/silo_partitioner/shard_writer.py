"""Writes the rows of one shard, sorted by silo, with their part of the index."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import apache_beam as beam
import pyarrow as pa

from tfx_federated import silo_examples
from tfx_federated.silo_partitioner import scratch

DECISIVE_SPLIT = "train"
INDEX_PARTS = "index-*.parquet"
BELOW_MINIMUM_PARTS = "below_minimum-*.parquet"
BELOW_MINIMUM_SCHEMA = pa.schema(
    [("silo", pa.string()), ("split", pa.string()), ("rows", pa.int64()), ("decisive_rows", pa.int64())]
)


class WriteShard(beam.DoFn):
    """Writes one shard: a file per split, and the parts of the index and of the list of skipped silos.

    The rows of a shard, those of all splits, are sorted in memory: the bytes of its records and about 0.5 KB a row, and
    a second copy of the silo that is being written. The splits of a silo lie in the same group because whether it has
    `minimum_rows` is decided for all splits at once.
    """

    def __init__(self, uri: str, splits: Sequence[str], shards: int, minimum_rows: int) -> None:
        """Constructs the writer.

        Args:
            uri: URI of the SiloExamples artifact.
            splits: Names of all splits.
            shards: Number of shards per split.
            minimum_rows: Silos with fewer rows in split `train`, or over all splits if there is no such split, are not
                written.
        """
        self._uri = uri
        self._decisive_splits = {DECISIVE_SPLIT} if DECISIVE_SPLIT in splits else set(splits)
        self._shards = shards
        self._minimum_rows = minimum_rows

    def process(self, element: tuple[int, Iterable[tuple[str, str, bytes]]], may_write: bool) -> None:
        """Writes one shard.

        Args:
            element: Number of the shard, and its rows as (split, silo, record) in any order.
            may_write: Whether the run goes on; otherwise nothing is written.
        """
        if not may_write:
            return
        shard, unsorted_rows = element
        # Python compares strings by code point, which is the order of their UTF-8 bytes.
        rows = sorted(unsorted_rows)
        decisive_rows = collections.Counter(silo for split, silo, _ in rows if split in self._decisive_splits)
        self._write_below_minimum(shard, rows, decisive_rows)
        kept = [row for row in rows if decisive_rows[row[1]] >= self._minimum_rows]
        entries = [
            entry
            for split, split_rows in itertools.groupby(kept, operator.itemgetter(0))
            for entry in self._write_split(split, shard, split_rows)
        ]
        self._write_part("index", shard, [dataclasses.asdict(entry) for entry in entries], silo_examples.INDEX_SCHEMA)

    def _write_split(
        self, split: str, shard: int, rows: Iterable[tuple[str, str, bytes]]
    ) -> list[silo_examples.SiloEntry]:
        uri = silo_examples.shard_uri(self._uri, split, shard, self._shards)
        with scratch.whole_file(scratch.scratch_uri(self._uri), uri) as file:
            return list(write_silos(file, split, shard, rows))

    def _write_below_minimum(
        self, shard: int, rows: Iterable[tuple[str, str, bytes]], decisive_rows: collections.Counter[str]
    ) -> None:
        below = collections.Counter(
            (silo, split) for split, silo, _ in rows if decisive_rows[silo] < self._minimum_rows
        )
        part = [
            {"silo": silo, "split": split, "rows": count, "decisive_rows": decisive_rows[silo]}
            for (silo, split), count in below.items()
        ]
        self._write_part("below_minimum", shard, part, BELOW_MINIMUM_SCHEMA)

    def _write_part(self, name: str, shard: int, rows: list[dict], schema: pa.Schema) -> None:
        folder = scratch.scratch_uri(self._uri)
        uri = os.path.join(folder, f"{name}-{shard:05d}.parquet")
        scratch.write_table(folder, uri, pa.Table.from_pylist(rows, schema=schema))


def write_silos(
    file: IO[bytes], split: str, shard: int, rows: Iterable[tuple[str, str, bytes]]
) -> Iterator[silo_examples.SiloEntry]:
    """Writes rows and yields where each silo's lie.

    Args:
        file: The shard's file, at its start.
        split: Name of the split, for the entries.
        shard: Number of the shard, for the entries.
        rows: (split, silo, record), sorted.
    """
    offset = 0
    for silo, silo_rows in itertools.groupby(rows, operator.itemgetter(1)):
        records = [record for _, _, record in silo_rows]
        byte_range = silo_examples.to_byte_range(records)
        file.write(byte_range)
        checksum = silo_examples.checksum_of(byte_range)
        yield silo_examples.SiloEntry(silo, split, shard, offset, len(byte_range), len(records), checksum)
        offset += len(byte_range)
