import pyarrow as pa
import pytest

from tfx_federated.silo_partitioner import scratch

SCHEMA = pa.schema([("rows", pa.int64())])


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / ".partial"
    folder.mkdir()
    return folder


def test_a_file_appears_when_it_is_whole_and_replaces_that_of_a_former_attempt(tmp_path, folder):
    path = tmp_path / "Split-train" / "shard"
    for content in (b"first", b"second"):
        before = path.read_bytes() if path.exists() else None
        with scratch.whole_file(str(folder), str(path)) as file:
            file.write(content)
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == content
    assert not list(folder.iterdir())


def test_a_failed_attempt_leaves_nothing_in_place(tmp_path, folder):
    path = tmp_path / "shard"

    def fail_half_way():
        with scratch.whole_file(str(folder), str(path)) as file:
            file.write(b"part")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert not path.exists()


def test_attempts_at_the_same_time_do_not_meet(tmp_path, folder):
    path = tmp_path / "shard"
    with scratch.whole_file(str(folder), str(path)) as one, scratch.whole_file(str(folder), str(path)) as other:
        one.write(b"rows")
        other.write(b"rows")
    assert path.read_bytes() == b"rows"


def test_tables_are_read_together(folder):
    for number in (1, 0):
        table = pa.Table.from_pydict({"rows": [number]}, schema=SCHEMA)
        scratch.write_table(str(folder), str(folder / f"part-{number}.parquet"), table)
    assert scratch.read_tables(str(folder / "part-*.parquet"), SCHEMA)["rows"].to_pylist() == [0, 1]


def test_no_table_reads_as_an_empty_one(folder):
    assert scratch.read_tables(str(folder / "part-*.parquet"), SCHEMA) == SCHEMA.empty_table()
