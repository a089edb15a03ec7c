import io

import hypothesis
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tfx_federated import silo_examples
from tfx_federated.silo_partitioner import shard_writer

ROWS = st.lists(st.tuples(st.just("train"), st.text(min_size=1, max_size=3), st.binary(max_size=20)))


@hypothesis.given(ROWS)
def test_entries_tile_the_shard_and_hold_each_silos_rows(rows):
    file = io.BytesIO()
    entries = list(shard_writer.write_silos(file, "train", 5, sorted(rows)))
    content = file.getvalue()
    end = 0
    for entry in entries:
        assert (entry.split, entry.shard, entry.offset) == ("train", 5, end)
        end += entry.bytes
        records = list(silo_examples.from_byte_range(content[entry.offset : end]))
        assert records == sorted(record for _, silo, record in rows if silo == entry.silo)
        assert entry.rows == len(records)
    assert end == len(content)
    silos = [entry.silo.encode() for entry in entries]
    assert silos == sorted({silo.encode() for _, silo, _ in rows})


ELEMENT = (
    1,
    [("train", "B", b"2"), ("eval", "B", b"3"), ("eval", "A", b"9"), ("train", "B", b"1"), ("train", "C", b"0")],
)


def write(folder, splits, minimum_rows, may_write=True):
    (folder / ".partial").mkdir()
    shard_writer.WriteShard(str(folder), splits, 2, minimum_rows).process(ELEMENT, may_write)
    tables = [".partial/index-00001.parquet", ".partial/below_minimum-00001.parquet"]
    return [pq.read_table(folder / table).to_pylist() if (folder / table).exists() else None for table in tables]


def test_a_shard_is_written_per_split_in_order_of_silo_and_record(tmp_path):
    index, below = write(tmp_path, ["train", "eval"], 2)
    train = tmp_path / "Split-train" / "shard-00001-of-00002.tfrecord"
    assert list(tf.data.TFRecordDataset(str(train)).as_numpy_iterator()) == [b"1", b"2"]
    assert [(row["split"], row["silo"], row["offset"], row["rows"]) for row in index] == [
        ("eval", "B", 0, 1),
        ("train", "B", 0, 2),
    ]
    # A has no row in train, which decides, C has one.
    assert sorted((row["silo"], row["split"], row["rows"], row["decisive_rows"]) for row in below) == [
        ("A", "eval", 1, 0),
        ("C", "train", 1, 1),
    ]


def test_without_a_train_split_all_splits_decide(tmp_path):
    # The rows that call themselves train make this the same shard as above, under splits of which none decides alone.
    rows = [("a" if split == "train" else "b", silo, record) for split, silo, record in ELEMENT[1]]
    (tmp_path / ".partial").mkdir()
    shard_writer.WriteShard(str(tmp_path), ["a", "b"], 2, 3).process((1, rows), True)
    index = pq.read_table(tmp_path / ".partial/index-00001.parquet").to_pylist()
    below = pq.read_table(tmp_path / ".partial/below_minimum-00001.parquet").to_pylist()
    assert [(row["split"], row["silo"], row["rows"]) for row in index] == [("a", "B", 2), ("b", "B", 1)]
    assert sorted((row["silo"], row["decisive_rows"]) for row in below) == [("A", 1), ("C", 1)]


def test_a_split_that_keeps_no_row_gets_no_file(tmp_path):
    index, _ = write(tmp_path, ["train", "eval"], 3)
    assert index == []
    assert not list(tmp_path.glob("Split-*"))


def test_nothing_is_written_when_the_run_does_not_go_on(tmp_path):
    assert write(tmp_path, ["train", "eval"], 1, may_write=False) == [None, None]
    assert [path.name for path in tmp_path.iterdir()] == [".partial"]


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_repeated_attempt_changes_nothing(tmp_path, attempts):
    (tmp_path / ".partial").mkdir()
    for _ in range(attempts):
        shard_writer.WriteShard(str(tmp_path), ["train", "eval"], 2, 1).process(ELEMENT, True)
    content = (tmp_path / "Split-train" / "shard-00001-of-00002.tfrecord").read_bytes()
    # A is in eval alone; B's two records and C's one, in framing of 16 bytes each.
    assert content == silo_examples.to_byte_range([b"1", b"2", b"0"])
    assert len(content) == 3 * 17
