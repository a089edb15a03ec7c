import pyarrow.parquet as pq
import pytest

from tfx_federated.silo_partitioner import set_aside

ELEMENT = (
    ("eval", 1),
    [
        ("without_silo", "company", "", b"\xff\x00"),
        ("non_finite_value", "fare", 'a"/b', b"row"),
        ("unparsable_record", "", "", b""),
    ],
)


@pytest.mark.parametrize("may_write", [True, False])
def test_rows_are_kept_with_their_reason_when_the_run_goes_on(tmp_path, may_write):
    (tmp_path / ".partial").mkdir()
    set_aside.WriteSetAside(str(tmp_path), 2).process(ELEMENT, may_write)
    path = tmp_path / "set_aside" / "eval-00001-of-00002.parquet"
    assert path.exists() == may_write
    if may_write:
        table = pq.read_table(path)
        assert table.schema == set_aside.SCHEMA
        assert [tuple(row.values()) for row in table.to_pylist()] == sorted(ELEMENT[1])
