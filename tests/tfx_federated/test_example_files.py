import os
import shutil

import pytest
from tfx.dsl.io import fileio

from tests.tfx_federated.silo_partitioner.partition_run import examples_artifact
from tfx_federated import example_files


@pytest.fixture
def artifacts(tmp_path):
    first = examples_artifact(tmp_path / "first", {"train": [b"1"], "eval": [b"2"]}, files=2)
    second = examples_artifact(tmp_path / "second", {"test": [b"3"], "train": [b"4"]}, compressed=False)
    return [first, second]


def test_splits_are_named_once_in_order_of_appearance(artifacts):
    assert example_files.split_names(artifacts) == ["train", "eval", "test"]


def test_no_artifact_has_no_split():
    assert example_files.split_names([]) == []


def test_each_artifact_with_the_split_gives_a_pattern_of_its_files(artifacts, tmp_path):
    patterns = example_files.split_file_patterns(artifacts, "train")
    assert [sorted(os.path.relpath(path, tmp_path) for path in fileio.glob(pattern)) for pattern in patterns] == [
        [f"first/Split-train/data_tfrecord-0000{number}-of-00002.gz" for number in (0, 1)],
        ["second/Split-train/data_tfrecord-00000-of-00001"],
    ]
    assert len(example_files.split_file_patterns(artifacts, "test")) == 1


def test_a_missing_split_is_refused_with_those_that_are_there(artifacts):
    with pytest.raises(ValueError, match=r"'validation'; there are \['train', 'eval', 'test'\]"):
        example_files.split_file_patterns(artifacts, "validation")


def test_another_payload_is_refused(artifacts):
    artifacts[1].set_string_custom_property("payload_format", "FORMAT_PARQUET")
    assert len(example_files.split_file_patterns(artifacts, "eval")) == 1
    with pytest.raises(ValueError, match=r"second has payload FORMAT_PARQUET"):
        example_files.split_file_patterns(artifacts, "train")


def test_a_split_without_files_is_refused(artifacts, tmp_path):
    shutil.rmtree(tmp_path / "second" / "Split-test")
    with pytest.raises(ValueError, match=r"'test' of Examples artifact .*second has no files"):
        example_files.split_file_patterns(artifacts, "test")
