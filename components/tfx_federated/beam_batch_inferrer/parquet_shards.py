"""Parquet inputs: which row groups there are, and their rows in batches."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence

import pyarrow as pa
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import io_utils

from tfx_federated import example_files, example_shards
from tfx_federated.beam_batch_inferrer import parquet_files
from tfx_federated.example_shards import ExampleShard, ShardError

# Small enough to spread a large file over workers, large enough that an output file is worth its while.
_ROWS_IN_SHARD = 1 << 20


@dataclasses.dataclass(frozen=True)
class ParquetShard:
    """Some row groups of one Parquet file.

    Attributes:
        number: Position among all shards of the run, from 0.
        split: Name of the split.
        source: The file, as in `ExampleShard`.
        uri: The file.
        row_groups: First row group, and the one behind the last; None for a file whose footer cannot be read.
        first_row: Position of the first row in the file, from 0.
    """

    number: int
    split: str
    source: str
    uri: str
    row_groups: tuple[int, int] | None
    first_row: int


def is_parquet(artifacts: Sequence[types.Artifact]) -> bool:
    """Returns whether the payload of the artifacts is Parquet, as ExampleGen marks it.

    Raises:
        ValueError: The artifacts have different payloads.
    """
    payloads = {examples_utils.get_payload_format(artifact) for artifact in artifacts}
    if len(payloads) > 1:
        names = ", ".join(sorted(example_gen_pb2.PayloadFormat.Name(payload) for payload in payloads))
        raise ValueError(f"the Examples artifacts have different payloads ({names}); score them in two components")
    return payloads == {example_gen_pb2.PayloadFormat.FORMAT_PARQUET}


def find_shards(artifacts: Sequence[types.Artifact], splits: Sequence[str]) -> list[ExampleShard] | list[ParquetShard]:
    """Lists the shards of some splits, ordered by split (as given), artifact, file name and row group.

    Args:
        artifacts: Examples artifacts with tf.Example or Parquet payload. Each split must be in at least one.
        splits: Names of the splits.

    Raises:
        ValueError: No artifact has one of the splits, the folder of a split has no file, or the payload is another.
    """
    if not is_parquet(artifacts):
        return example_shards.find_shards(artifacts, splits)
    shards: list[ParquetShard] = []
    for split in splits:
        found = [
            (position, artifact)
            for position, artifact in enumerate(artifacts)
            if split in artifact_utils.decode_split_names(artifact.split_names)
        ]
        if not found:
            names = example_files.split_names(artifacts)
            raise ValueError(f"no Examples artifact has a split {split!r}; there are {names}")
        for position, artifact in found:
            for uri in _files(artifact, split):
                source = f"{position}/{os.path.relpath(uri, artifact.uri)}"
                for row_groups, first_row in _parts(uri):
                    shards.append(ParquetShard(len(shards), split, source, uri, row_groups, first_row))
    return shards


def read_batches(shard: ParquetShard, batch_size: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a shard in order, in batches of 1 to `batch_size` rows.

    Args:
        shard: The shard.
        batch_size: Most rows in a batch.
        columns: The columns to read; those that the file does not have are left out.

    Raises:
        ShardError: The file is damaged or cut short.
    """
    try:
        with parquet_files.opened(shard.uri) as file:
            groups = range(*shard.row_groups or (0, 0))
            for batch in file.iter_batches(batch_size, row_groups=groups, columns=list(columns)):
                if batch.num_rows:
                    yield batch
    except (pa.ArrowInvalid, OSError) as error:
        raise ShardError(
            f"shard {shard.source} ({shard.uri}) is damaged or not a Parquet file; run its producer again"
        ) from error


def _files(artifact: types.Artifact, split: str) -> list[str]:
    files = sorted(fileio.glob(io_utils.all_files_pattern(artifact_utils.get_split_uri([artifact], split))))
    if not files:
        raise ValueError(f"split {split!r} of Examples artifact {artifact.uri} has no files; run its producer again")
    return files


def _parts(uri: str) -> Iterator[tuple[tuple[int, int] | None, int]]:
    """Yields runs of row groups of at most `_ROWS_IN_SHARD` rows, or one larger row group, and their first rows."""
    try:
        with parquet_files.opened(uri) as file:
            metadata = file.metadata
    except (pa.ArrowInvalid, OSError):
        # The worker that reads it names it, and the other shards are scored.
        yield None, 0
        return
    first_group = first_row = rows = 0
    for group in range(metadata.num_row_groups):
        rows_of_group = metadata.row_group(group).num_rows
        if rows and rows + rows_of_group > _ROWS_IN_SHARD:
            yield (first_group, group), first_row
            first_group, first_row, rows = group, first_row + rows, 0
        rows += rows_of_group
    yield (first_group, metadata.num_row_groups), first_row
