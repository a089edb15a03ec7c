import dataclasses
import hashlib
import shutil

import hypothesis
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tests.tfx_federated.silo_partitioner.partition_run import (
    examples_artifact,
    partition,
    records_of_silos,
    serialized,
)
from tfx_federated import silo_examples

A = [serialized(company="A", number=number) for number in range(3)]
B = [serialized(company="B", number=number) for number in range(2)]
ONE_SHARD = "Split-train/shard-00000-of-00001.tfrecord"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    examples = [examples_artifact(folder / "in", {"train": [B[0], *A, B[1]], "eval": [A[0]], "test": []})]
    partition(examples, folder / "out", shards=1)
    return folder / "out"


@pytest.fixture
def uri(written, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(written, tmp_path / "copy")


def reader_of(uri):
    return silo_examples.SiloExamplesReader(str(uri))


@hypothesis.given(st.lists(st.binary(max_size=50)))
def test_framing_comes_back(records):
    assert list(silo_examples.from_byte_range(silo_examples.to_byte_range(records))) == records


def test_framing_is_that_of_tensorflow(tmp_path):
    (tmp_path / "records").write_bytes(silo_examples.to_byte_range([b"one", b""]))
    assert list(tf.data.TFRecordDataset(str(tmp_path / "records")).as_numpy_iterator()) == [b"one", b""]


@hypothesis.given(st.integers(0, 18), st.integers(1, 255))
def test_a_damaged_frame_is_refused(position, difference):
    framed = bytearray(silo_examples.to_byte_range([b"row"]))
    framed[position] ^= difference
    with pytest.raises(ValueError, match="Not a valid TFRecord"):
        list(silo_examples.from_byte_range(bytes(framed)))


def test_the_shard_file_of_the_description():
    assert silo_examples.shard_uri("u", "train", 0, 4) == "u/Split-train/shard-00000-of-00004.tfrecord"


def test_silos_and_entries_are_sorted(written):
    reader = reader_of(written)
    assert (reader.silos, reader.silo_key, reader.splits) == (["A", "B"], "company", ["train", "eval", "test"])
    assert [(entry.silo, entry.rows, entry.offset) for entry in reader.entries("train")] == [
        ("A", 3, 0),
        ("B", 2, 3 * (len(A[0]) + 16)),
    ]
    assert [entry.silo for entry in reader.entries("eval")] == ["A"]
    assert reader.entries("test") == []


def test_a_silo_reads_its_rows_alone(written):
    assert records_of_silos(reader_of(written), "train") == {"A": sorted(A), "B": sorted(B)}


def test_a_byte_range_has_the_sha256_of_the_index(written):
    entry = reader_of(written).entries("train")[1]
    byte_range = (written / ONE_SHARD).read_bytes()[entry.offset :]
    assert (len(byte_range), hashlib.sha256(byte_range).hexdigest()) == (entry.bytes, entry.checksum)


def test_an_unknown_split_is_refused(written):
    with pytest.raises(silo_examples.SiloExamplesError, match="no split 'validation'"):
        reader_of(written).entries("validation")


def test_without_counts_the_artifact_is_not_whole(uri):
    (uri / "counts.json").unlink()
    with pytest.raises(silo_examples.SiloExamplesError, match=r"no counts\.json: SiloPartitioner did not finish"):
        reader_of(uri)


def test_a_missing_index_is_refused(uri):
    (uri / "index.parquet").unlink()
    with pytest.raises(silo_examples.SiloExamplesError, match=r"no index\.parquet"):
        reader_of(uri)


def test_a_truncated_index_is_refused(uri):
    index = (uri / "index.parquet").read_bytes()
    (uri / "index.parquet").write_bytes(index[: len(index) // 2])
    with pytest.raises(silo_examples.SiloExamplesError, match="not a Parquet file"):
        reader_of(uri)


def test_an_index_with_other_columns_is_refused(uri):
    index = pq.read_table(uri / "index.parquet")
    pq.write_table(index.drop_columns(["checksum"]), uri / "index.parquet")
    with pytest.raises(silo_examples.SiloExamplesError, match="has columns"):
        reader_of(uri)


def test_an_index_that_lost_a_row_contradicts_the_counts(uri):
    index = pq.read_table(uri / "index.parquet")
    pq.write_table(index.slice(1), uri / "index.parquet")
    with pytest.raises(silo_examples.SiloExamplesError, match=r"holds 5 rows, counts\.json says 6"):
        reader_of(uri)


def test_a_damaged_byte_is_found_in_its_silo_alone(uri):
    reader = reader_of(uri)
    of_a, of_b = reader.entries("train")
    content = bytearray((uri / ONE_SHARD).read_bytes())
    content[of_b.offset + 20] ^= 1
    (uri / ONE_SHARD).write_bytes(content)
    assert list(reader.read(of_a)) == sorted(A)
    with pytest.raises(silo_examples.SiloExamplesError, match=rf"shard .*{ONE_SHARD}, silo 'B': .*checksum"):
        reader.read(of_b)


def test_a_truncated_shard_is_found(uri):
    content = (uri / ONE_SHARD).read_bytes()
    (uri / ONE_SHARD).write_bytes(content[:-1])
    reader = reader_of(uri)
    with pytest.raises(silo_examples.SiloExamplesError, match="silo 'B'"):
        reader.read(reader.entries("train")[1])


def test_a_missing_shard_is_found(uri):
    (uri / ONE_SHARD).unlink()
    reader = reader_of(uri)
    with pytest.raises(silo_examples.SiloExamplesError, match="silo 'A': the file is missing"):
        reader.read(reader.entries("train")[0])


def test_a_wrong_number_of_rows_is_found(written):
    reader = reader_of(written)
    entry = dataclasses.replace(reader.entries("train")[0], rows=4)
    with pytest.raises(silo_examples.SiloExamplesError, match=r"silo 'A': 3 rows, index\.parquet says 4"):
        list(reader.read(entry))
