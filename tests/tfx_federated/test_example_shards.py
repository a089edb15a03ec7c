import gzip
import pathlib

import pytest
import tensorflow as tf

from tests.tfx_federated.beam_batch_inferrer.inference_case import example, examples_artifact, write_shard
from tfx_federated.example_shards import ExampleShard, ShardError, find_shards, read_batches


def shard_of(path):
    return ExampleShard(0, "eval", "0/Split-eval/data", str(path))


def read(path, batch_size=2):
    return [batch.numpy().tolist() for batch in read_batches(shard_of(path), batch_size)]


def test_shards_are_numbered_by_split_artifact_and_name(tmp_path):
    first = examples_artifact(tmp_path / "a", {"train/x-1.gz": [], "train/x-0.gz": [], "eval/x-0.gz": []})
    second = examples_artifact(tmp_path / "b", {"eval/x-0": []})
    shards = find_shards([first, second], ["eval", "train"])
    assert [(shard.number, shard.split, shard.source) for shard in shards] == [
        (0, "eval", "0/Split-eval/x-0.gz"),
        (1, "eval", "1/Split-eval/x-0"),
        (2, "train", "0/Split-train/x-0.gz"),
        (3, "train", "0/Split-train/x-1.gz"),
    ]


def test_missing_split_is_named(tmp_path):
    with pytest.raises(ValueError, match="no Examples artifact has a split 'test'"):
        find_shards([examples_artifact(tmp_path, {"eval/x": []})], ["test"])


@pytest.mark.parametrize("name", ["data", "data.gz"])
def test_batches_are_bounded_and_in_order(tmp_path, name):
    path = write_shard(f"{tmp_path}/{name}", [b"a", b"b", b"c", b"d", b"e"])
    assert read(path) == [[b"a", b"b"], [b"c", b"d"], [b"e"]]


@pytest.mark.parametrize("name", ["data", "data.gz"])
def test_shard_without_rows_has_no_batches(tmp_path, name):
    assert read(write_shard(f"{tmp_path}/{name}", [])) == []


def test_several_gzip_members_are_one_file(tmp_path):
    plain = [write_shard(f"{tmp_path}/{name}", [name.encode()]) for name in ("a", "b")]
    path = tmp_path / "both.gz"
    path.write_bytes(b"".join(gzip.compress(pathlib.Path(name).read_bytes()) for name in plain))
    assert read(path) == [[b"a", b"b"]]


def test_every_cut_of_a_gzip_shard_is_found(tmp_path):
    records = [example(float(i), f"silo {i * 7919 % 101}") for i in range(10)]
    content = pathlib.Path(write_shard(f"{tmp_path}/whole.gz", records)).read_bytes()
    cut = tmp_path / "cut.gz"
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(ShardError, match=r"0/Split-eval/data .*cut\.gz"):
            read(cut)


def test_tensorflow_alone_misses_a_cut(tmp_path):
    """The reason for our own check; once this fails, the check may go."""
    content = pathlib.Path(write_shard(f"{tmp_path}/whole.gz", [b"a" * 9] * 3)).read_bytes()
    cut = tmp_path / "cut.gz"
    cut.write_bytes(content[:12])
    assert len(list(tf.data.TFRecordDataset(str(cut), compression_type="GZIP"))) < 3


def test_cut_plain_shard_is_named(tmp_path):
    content = pathlib.Path(write_shard(f"{tmp_path}/whole", [b"abc", b"def"])).read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(content[:-3])
    with pytest.raises(ShardError, match=r"0/Split-eval/data .*is damaged"):
        read(cut)


def test_file_that_is_no_tfrecord_is_named(tmp_path):
    (tmp_path / "data").write_text("x,company\n1.0,secret\n2.0,b\n")
    with pytest.raises(ShardError, match="not a TFRecord file") as caught:
        read(tmp_path / "data")
    assert "secret" not in str(caught.value)
