import collections

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_federated.beam_batch_inferrer import layouts

SILOS = ["b", "a", None, "b", "Ä", "a", "b"]


def table(silos):
    # In two chunks with dictionaries of their own, as batches come.
    parts = [silos[: len(silos) // 2], silos[len(silos) // 2 :]]
    return pa.concat_tables(
        pa.table({"silo": pa.array(part, pa.string()).dictionary_encode(), "row": pa.array(part_rows, pa.int64())})
        for part, part_rows in zip(parts, (range(len(parts[0])), range(len(parts[0]), len(silos))), strict=True)
    )


def rows_of(contents):
    """Returns {silo: row numbers in order} by the runs of the files."""
    found = collections.defaultdict(list)
    for content in contents:
        for run in content.runs:
            found[run.silo] += content.table.column("row").to_pylist()[run.start : run.start + run.rows]
    return dict(found)


def expected_rows(silos):
    found = collections.defaultdict(list)
    for row, silo in enumerate(silos):
        found[silo].append(row)
    return dict(found)


def test_a_folder_for_each_silo():
    contents = list(layouts.silo_folders(table(SILOS), "part"))
    assert [content.path for content in contents] == [
        "silo=__HIVE_DEFAULT_PARTITION__/part",
        "silo=a/part",
        "silo=b/part",
        "silo=%C3%84/part",
    ]
    assert all("silo" not in content.table.column_names for content in contents)


def test_a_sorted_shard_has_a_column_of_silos():
    (content,) = layouts.sorted_shards(table(SILOS), "part")
    assert content.path == "part"
    assert content.table.column("silo").to_pylist() == [None, "a", "a", "b", "b", "b", "Ä"]


silo_ids = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), min_size=1, max_size=2))


@given(st.lists(silo_ids, min_size=1, max_size=30), st.sampled_from(list(layouts.LAYOUTS)))
@settings(max_examples=100, deadline=None)
def test_every_row_is_in_one_run_of_its_silo_in_order(silos, layout):
    contents = list(layouts.LAYOUTS[layout](table(silos), "part"))
    assert rows_of(contents) == expected_rows(silos)
    assert [sum(content.row_groups) for content in contents] == [len(content.table) for content in contents]
    if layout == "silo_folders":
        assert all(len(content.runs) == 1 for content in contents)


def test_large_silos_have_row_groups_of_their_own(monkeypatch):
    monkeypatch.setattr(layouts, "_ROWS_IN_GROUP", 8)
    silos = ["a"] * 1 + ["b"] * 5 + ["c"] * 19 + [f"d{i}" for i in range(9)]
    (content,) = layouts.sorted_shards(table(silos), "part")
    assert content.row_groups == [1, 5, 8, 8, 3, 8, 1]
