import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.tfx_federated.beam_batch_inferrer.inference_case import digests, file_size_limit
from tfx_federated.beam_batch_inferrer.layouts import LAYOUTS
from tfx_federated.beam_batch_inferrer.output_formats import OUTPUT_FORMATS
from tfx_federated.beam_batch_inferrer.shard_files import ShardFiles
from tfx_federated.example_shards import ExampleShard, ShardError

SHARD = ExampleShard(3, "eval", "0/Split-eval/data", "unused")


def batch(start, silos, scores):
    return pa.table(
        {
            "silo": pa.array(silos, pa.string()).dictionary_encode(),
            "row": pa.array(range(start, start + len(silos)), pa.int64()),
            "score": pa.array(scores),
        }
    )


def files_of(folder, buffer_bytes=1, layout="silo_folders", on_flush=None):
    metadata = {"tfx_federated.model_uri": "model"}
    return ShardFiles(str(folder), SHARD, LAYOUTS[layout], OUTPUT_FORMATS["parquet"], buffer_bytes, metadata, on_flush)


def write(folder, buffer_bytes=1, **arguments):
    """Seven rows in two batches: a b a none b | b c."""
    files = files_of(folder, buffer_bytes, **arguments)
    files.add(batch(0, ["a", "b", "a", None, "b"], np.arange(5.0)))
    files.add(batch(5, ["b", "c"], np.arange(5.0, 7.0)))
    files.flush()
    return files


def rows_of(folder, path):
    return parquet.read_table(f"{folder}/{path}", partitioning=None).column("row").to_pylist()


def test_large_buffer_gives_one_file_per_silo_in_the_order_of_the_shard(tmp_path):
    files = write(tmp_path, 1 << 20)
    assert {file.path: file.rows for file in files.written} == {
        "silo=__HIVE_DEFAULT_PARTITION__/part-00003-00000.parquet": 1,
        "silo=a/part-00003-00000.parquet": 2,
        "silo=b/part-00003-00000.parquet": 3,
        "silo=c/part-00003-00000.parquet": 1,
    }
    assert rows_of(tmp_path, "silo=b/part-00003-00000.parquet") == [1, 4, 5]


def test_small_buffer_is_written_after_every_batch(tmp_path):
    write(tmp_path)
    assert rows_of(tmp_path, "silo=b/part-00003-00000.parquet") == [1, 4]
    assert rows_of(tmp_path, "silo=b/part-00003-00001.parquet") == [5]


def test_files_are_measured_as_they_are(tmp_path):
    files = write(tmp_path)
    assert {file.path: file.sha256 for file in files.written} == digests(tmp_path)
    assert all((tmp_path / file.path).stat().st_size == file.bytes for file in files.written)


def test_index_says_where_each_silo_is(tmp_path):
    index = write(tmp_path, layout="sorted_shards").index
    first, second = "part-00003-00000.parquet", "part-00003-00001.parquet"
    runs = list(zip(index.silo, index.path, index.first_row, index.rows, strict=True))
    assert runs == [
        (None, first, 0, 1),
        ("a", first, 1, 2),
        ("b", first, 3, 2),
        ("b", second, 0, 1),
        ("c", second, 1, 1),
    ]


def test_parquet_says_where_rows_come_from_and_which_model_made_them(tmp_path):
    write(tmp_path, layout="sorted_shards")
    table = parquet.read_table(tmp_path / "part-00003-00001.parquet")
    assert table.to_pylist() == [
        {"silo": "b", "split": "eval", "source": "0/Split-eval/data", "row": 5, "score": 5.0},
        {"silo": "c", "split": "eval", "source": "0/Split-eval/data", "row": 6, "score": 6.0},
    ]
    assert table.schema.field("silo").type == pa.string()
    assert table.schema.metadata[b"tfx_federated.model_uri"] == b"model"


def test_row_id_takes_the_place_of_source_and_position(tmp_path):
    files = files_of(tmp_path)
    files.add(batch(0, ["a"], [1.0]).append_column("row_id", pa.array(["id"])))
    table = parquet.read_table(tmp_path / files.written[0].path, partitioning=None)
    assert table.column_names == ["split", "score", "row_id"]


def test_flushed_rows_are_shown(tmp_path):
    shown = []
    write(tmp_path, on_flush=lambda flush, table: shown.append((flush, len(table))))
    assert shown == [(0, 5), (1, 2)]


def test_repeated_attempt_replaces_the_files(tmp_path):
    write(tmp_path)
    first = digests(tmp_path)
    write(tmp_path)
    assert digests(tmp_path) == first


def test_columns_that_change_are_refused(tmp_path):
    files = files_of(tmp_path, buffer_bytes=1 << 20)
    files.add(batch(0, ["a"], [1.0]))
    with pytest.raises(ShardError, match="score: int64 in a later batch"):
        files.add(batch(1, ["a"], [1]))


def test_failed_write_leaves_no_file(tmp_path):
    files = files_of(tmp_path)
    with file_size_limit(100), pytest.raises(Exception, match="File too large"):
        files.add(batch(0, ["a"], [1.0]))
    assert digests(tmp_path) == {}
