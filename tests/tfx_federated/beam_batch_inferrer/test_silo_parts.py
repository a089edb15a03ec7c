import numpy as np
import pytest
from pyarrow import parquet

from tests.tfx_federated.beam_batch_inferrer.inference_case import digests, file_size_limit
from tfx_federated.beam_batch_inferrer.rows import OUTPUT_FORMATS, Rows
from tfx_federated.beam_batch_inferrer.silo_column import SiloColumn
from tfx_federated.beam_batch_inferrer.silo_parts import SiloParts
from tfx_federated.example_shards import ExampleShard, ShardError

SHARD = ExampleShard(3, "eval", "0/Split-eval/data", "unused")


def batch(start, scores):
    count = len(scores)
    return Rows("eval", SHARD.source, np.arange(start, start + count), np.full(count, b"", object), {"score": scores})


def write(uri, buffer_bytes):
    """Seven rows in two batches: a b a none b | b c."""
    parts = SiloParts(str(uri), SHARD, OUTPUT_FORMATS["parquet"], buffer_bytes)
    parts.add(SiloColumn(["a", "b"], np.array([0, 1, 0, -1, 1])), batch(0, np.array([0.0, 1.0, 2.0, 3.0, np.nan])))
    parts.add(SiloColumn(["c", "b"], np.array([1, 0])), batch(5, np.array([5.0, 6.0])))
    parts.flush()
    return parts.counts


def rows_of(uri, name):
    return parquet.read_table(f"{uri}/{name}", partitioning=None).column("row").to_pylist()


def test_large_buffer_gives_one_file_per_silo_in_the_order_of_the_shard(tmp_path):
    counts = {entry.silo: entry for entry in write(tmp_path, 1 << 20)}
    assert {silo: entry.rows for silo, entry in counts.items()} == {None: 1, "a": 2, "b": 3, "c": 1}
    assert counts["b"].files == ["part-00003-00000.parquet"]
    assert rows_of(tmp_path, "silo=b/part-00003-00000.parquet") == [1, 4, 5]


def test_small_buffer_is_written_after_every_batch(tmp_path):
    counts = {entry.silo: entry for entry in write(tmp_path, 1)}
    assert counts["b"].files == ["part-00003-00000.parquet", "part-00003-00001.parquet"]
    assert rows_of(tmp_path, "silo=b/part-00003-00000.parquet") == [1, 4]
    assert rows_of(tmp_path, "silo=b/part-00003-00001.parquet") == [5]


def test_bytes_are_those_of_the_files(tmp_path):
    for entry in write(tmp_path, 1):
        folder = tmp_path / f"silo={entry.silo or '__HIVE_DEFAULT_PARTITION__'}"
        assert entry.bytes == sum((folder / name).stat().st_size for name in entry.files)


def test_rows_with_nan_are_counted_by_silo(tmp_path):
    assert {entry.silo: entry.nan_rows for entry in write(tmp_path, 1) if entry.nan_rows} == {"b": {"score": 1}}


def test_repeated_attempt_replaces_the_files(tmp_path):
    write(tmp_path, 1)
    first = digests(tmp_path)
    write(tmp_path, 1)
    assert digests(tmp_path) == first


def test_output_that_changes_its_width_is_refused(tmp_path):
    parts = SiloParts(str(tmp_path), SHARD, OUTPUT_FORMATS["parquet"], 1)
    parts.add(SiloColumn(["a"], np.array([0])), batch(0, np.ones([1, 2])))
    with pytest.raises(ShardError, match=r"output 'score' has shape \[3\] per row, and \[2\] in an earlier batch"):
        parts.add(SiloColumn(["a"], np.array([0])), batch(1, np.ones([1, 3])))


def test_failed_write_leaves_no_file(tmp_path):
    parts = SiloParts(str(tmp_path), SHARD, OUTPUT_FORMATS["parquet"], 1)
    with file_size_limit(100), pytest.raises(Exception, match="File too large"):
        parts.add(SiloColumn(["a"], np.array([0])), batch(0, np.ones(1)))
    assert digests(tmp_path) == {}
