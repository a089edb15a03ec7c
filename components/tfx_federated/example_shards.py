"""The input shards: which there are, and their rows in batches."""

from __future__ import annotations

import dataclasses
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence

import tensorflow as tf
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from tfx_federated import example_files

# A TFRecord's length (8 bytes) and two checksums (4 bytes each).
_RECORD_OVERHEAD_BYTES = 16
_GZIP_TRAILER_BYTES = 4
_READ_BYTES = 1 << 20


class ShardError(ValueError):
    """A shard of examples cannot be read or used, for a reason that trying again does not remove."""


@dataclasses.dataclass(frozen=True)
class ExampleShard:
    """One TFRecord file of tf.Examples.

    Attributes:
        number: Position among all shards of the run, from 0.
        split: Name of the split.
        source: `<position of the artifact>/<path of the file below the artifact's URI>`, for example
            `0/Split-eval/data_tfrecord-00000-of-00004.gz`.
        uri: The file; gzip-compressed where it ends in `.gz`.
    """

    number: int
    split: str
    source: str
    uri: str


def find_shards(artifacts: Sequence[types.Artifact], splits: Sequence[str]) -> list[ExampleShard]:
    """Lists the shards of some splits, ordered by split (as given), artifact and file name.

    Args:
        artifacts: Examples artifacts with tf.Example payload. Each split must be in at least one.
        splits: Names of the splits.

    Raises:
        ValueError: No artifact has one of the splits, or as `example_files.split_file_patterns`.
    """
    shards: list[ExampleShard] = []
    for split in splits:
        example_files.split_file_patterns(artifacts, split)
        for position, artifact in enumerate(artifacts):
            if split not in artifact_utils.decode_split_names(artifact.split_names):
                continue
            for pattern in example_files.split_file_patterns([artifact], split):
                for uri in sorted(fileio.glob(pattern)):
                    source = f"{position}/{os.path.relpath(uri, artifact.uri)}"
                    shards.append(ExampleShard(len(shards), split, source, uri))
    return shards


def read_batches(shard: ExampleShard, batch_size: int) -> Iterator[tf.Tensor]:
    """Yields a shard's serialized rows in order, as string tensors of shape [1..batch_size].

    Raises:
        ShardError: The file is damaged or cut short.
    """
    compressed = shard.uri.endswith(".gz")
    records = tf.data.TFRecordDataset(shard.uri, compression_type="GZIP" if compressed else None)
    bytes_read = 0
    try:
        for batch in records.batch(batch_size).prefetch(1):
            bytes_read += int(tf.reduce_sum(tf.strings.length(batch))) + _RECORD_OVERHEAD_BYTES * len(batch)
            yield batch
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError) as error:
        raise ShardError(
            f"shard {shard.source} ({shard.uri}) is damaged or not a TFRecord file; run its producer again"
        ) from error
    if compressed:
        _require_whole_gzip(shard, bytes_read)


def _require_whole_gzip(shard: ExampleShard, bytes_read: int) -> None:
    """Refuses a gzip file that was cut short.

    TensorFlow takes a cut between two of its reads for the end of the file and drops the rows behind it silently. A
    gzip file ends with its uncompressed length modulo 2^32, which costs nothing to compare; only where that differs
    (several gzip members in a row are legal, too) is the file read once more. A gzip file of no rows
    has 20 bytes, not 0.
    """
    length = fileio.stat(shard.uri).length
    with fileio.open(shard.uri, "rb") as file:
        file.seek(max(0, length - _GZIP_TRAILER_BYTES))
        trailer = file.read(_GZIP_TRAILER_BYTES)
    if bytes_read and int.from_bytes(trailer, "little") == bytes_read % (1 << 32):
        return
    uncompressed = 0 if length else -1
    try:
        with fileio.open(shard.uri, "rb") as file, gzip.GzipFile(fileobj=file) as stream:
            while block := stream.read(_READ_BYTES):
                uncompressed += len(block)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        uncompressed = -1
    if uncompressed != bytes_read:
        raise ShardError(f"shard {shard.source} ({shard.uri}) is a gzip file cut short; run its producer again")
