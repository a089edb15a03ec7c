"""Finds row ids that two rows have, over all shards.

Each shard leaves files of the 126-bit hashes of its ids, sorted into 256 buckets. Two rows with the same id are in the
same bucket, so that the buckets can be searched one by one, in little memory and on many workers. That any two of a
billion different ids have the same hash has a probability below 1e-19.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx.dsl.io import fileio

from tfx_federated import whole_files

BUCKETS = 256
# Any two: SipHash by different keys gives independent hashes.
_KEYS = ([0x5EED, 1], [0x5EED, 2])
_BITS = 63
_OFFSET = np.dtype("<i8")
_HASH = np.dtype([("first", "<i8"), ("second", "<i8")])


def write(uri: str, ids: pa.ChunkedArray) -> None:
    """Writes the hashes of some rows' ids.

    The file begins with 257 offsets, where each bucket's hashes begin and the last one's end; the hashes follow.

    Args:
        uri: The file.
        ids: Texts or integers, without nulls.
    """
    texts = tf.constant(ids.cast(pa.string()).to_numpy(), tf.string)
    hashes = np.empty(len(ids), _HASH)
    for field, key in zip(("first", "second"), _KEYS, strict=True):
        hashes[field] = tf.strings.to_hash_bucket_strong(texts, (1 << _BITS) - 1, key).numpy()
    hashes.sort(order="first")
    borders = np.arange(1, BUCKETS, dtype=np.int64) * ((1 << _BITS) // BUCKETS)
    offsets = np.array([0, *np.searchsorted(hashes["first"], borders), len(hashes)], _OFFSET)
    with fileio.open(uri, "wb") as file:
        file.write(offsets.tobytes() + hashes.tobytes())


def find_repeated(files: Mapping[int, Sequence[str]], bucket: int) -> tuple[int, list[int]]:
    """Returns how many ids of a bucket more than one row has, and the shards that these rows are in.

    Args:
        files: By shard, the files that `write` wrote.
        bucket: Number of the bucket, from 0.
    """
    parts = [(shard, _read_bucket(uri, bucket)) for shard, uris in files.items() for uri in uris]
    hashes = np.concatenate([part for _, part in parts])
    shards = np.concatenate([np.full(len(part), shard) for shard, part in parts])
    order = np.lexsort([hashes["second"], hashes["first"]])
    hashes, shards = hashes[order], shards[order]
    as_next = hashes[:-1] == hashes[1:]
    is_repeated = np.zeros(len(hashes), bool)
    is_repeated[:-1] |= as_next
    is_repeated[1:] |= as_next
    # A run of equal hashes is one id.
    runs = np.count_nonzero(as_next) - np.count_nonzero(as_next[1:] & as_next[:-1])
    return int(runs), np.unique(shards[is_repeated]).tolist()


def _read_bucket(uri: str, bucket: int) -> np.ndarray:
    with fileio.open(uri, "rb") as file:
        file.seek(bucket * _OFFSET.itemsize)
        start, end = np.frombuffer(file.read(2 * _OFFSET.itemsize), _OFFSET)
        file.seek((BUCKETS + 1) * _OFFSET.itemsize + int(start) * _HASH.itemsize)
        return np.frombuffer(file.read(int(end - start) * _HASH.itemsize), _HASH)


def write_repeated(bucket: int, files: Mapping[int, Sequence[str]], folder: str) -> None:
    """Writes what `find_repeated` finds in a bucket, for `read_repeated`."""
    count, shards = find_repeated(files, bucket)
    whole_files.write_json(_repeated_uri(folder, bucket), {"count": count, "shards": shards})


def read_repeated(folder: str) -> tuple[int, list[int]]:
    """Returns how many ids more than one row has, and the shards that these rows are in."""
    found = [whole_files.read_json(_repeated_uri(folder, bucket)) for bucket in range(BUCKETS)]
    return sum(part["count"] for part in found), sorted({shard for part in found for shard in part["shards"]})


def _repeated_uri(folder: str, bucket: int) -> str:
    return f"{folder}/repeated-{bucket:03d}.json"
