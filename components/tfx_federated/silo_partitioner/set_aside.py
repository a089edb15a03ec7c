"""Keeps the rows that were put aside, with the reason.

`<uri>/set_aside/<split>-00000-of-00004.parquet` has one row per row put aside, sorted by its columns:

- `reason`: `unparsable_record`, `malformed_silo_key`, `non_finite_value` or `without_silo`.
- `feature`: the feature at fault, empty if it is none.
- `silo`: the row's silo, empty if it has none.
- `record`: the row as it was read, bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa

from tfx_federated.silo_partitioner import scratch

FOLDER = "set_aside"
SCHEMA = pa.schema([("reason", pa.string()), ("feature", pa.string()), ("silo", pa.string()), ("record", pa.binary())])


class WriteSetAside(beam.DoFn):
    """Writes one shard of the rows of one split that were put aside."""

    def __init__(self, uri: str, shards: int) -> None:
        """Constructs the writer.

        Args:
            uri: URI of the SiloExamples artifact.
            shards: Number of shards per split.
        """
        self._uri = uri
        self._shards = shards

    def process(self, element: tuple[tuple[str, int], Iterable[tuple[str, str, str, bytes]]], may_write: bool) -> None:
        """Writes one shard.

        Args:
            element: Split and number of the shard, and its rows as (reason, feature, silo, record).
            may_write: Whether the run goes on; otherwise nothing is written.
        """
        if not may_write:
            return
        (split, shard), rows = element
        columns = [
            pa.array(column, field.type) for column, field in zip(zip(*sorted(rows), strict=True), SCHEMA, strict=True)
        ]
        uri = os.path.join(self._uri, FOLDER, f"{split}-{shard:05d}-of-{self._shards:05d}.parquet")
        scratch.write_table(scratch.scratch_uri(self._uri), uri, pa.Table.from_arrays(columns, schema=SCHEMA))
