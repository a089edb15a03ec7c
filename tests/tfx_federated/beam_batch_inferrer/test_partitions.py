import urllib.parse

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import dataset, parquet

from tfx_federated.beam_batch_inferrer import inference_results, partitions

silo_ids = st.text(st.characters(codec="utf-8"), min_size=1)


def test_plain_id_is_readable():
    assert partitions.folder_name("UA") == "silo=UA"


def test_no_silo_has_the_default_partition_of_hive():
    assert partitions.folder_name(None) == "silo=__HIVE_DEFAULT_PARTITION__"


def test_reserved_word_as_an_id_has_another_folder_than_no_silo():
    assert partitions.folder_name("__HIVE_DEFAULT_PARTITION__") != partitions.folder_name(None)


def test_ids_with_one_long_beginning_have_different_folders():
    names = {partitions.folder_name("x" * 300 + end) for end in ("", "a", "b")}
    assert len(names) == 3
    assert all(len(name) == 255 for name in names)


def test_no_id_can_name_the_folder_of_a_long_one():
    folder = partitions.folder_name("x" * 300)
    assert partitions.folder_name(folder.removeprefix("silo=")) != folder


def test_long_id_is_not_cut_within_a_character():
    beginning, _ = partitions.folder_name("€" * 300).removeprefix("silo=").split("@")
    assert set(urllib.parse.unquote(beginning, errors="strict")) == {"€"}


@given(silo_ids)
@settings(max_examples=200, deadline=None)
def test_any_id_gives_one_file_name_that_unescapes_to_the_id(silo):
    name = partitions.folder_name(silo)
    assert name.isascii()
    assert name.isprintable()
    assert "/" not in name
    assert len(name) <= 255
    if "@" not in name:
        assert urllib.parse.unquote(name.removeprefix("silo="), errors="strict") == silo


@given(silo_ids, silo_ids)
@settings(max_examples=200, deadline=None)
def test_different_ids_have_different_folders(first, second):
    assert (partitions.folder_name(first) == partitions.folder_name(second)) == (first == second)


@pytest.mark.parametrize(
    "silo", ["a/b", "..", ".", "%2F", "\"'<b>", "a\nb", "Zürich €", "a=b", "007", "a\x00b", "x+y z"]
)
def test_pyarrow_unescapes_the_folder_to_the_id(tmp_path, silo):
    folder = tmp_path / partitions.folder_name(silo)
    folder.mkdir()
    parquet.write_table(pa.table({"row": [1]}), folder / "part.parquet")
    table = dataset.dataset(tmp_path, format="parquet", partitioning=inference_results.PARTITIONING).to_table()
    assert table.to_pylist() == [{"row": 1, "silo": silo}]
