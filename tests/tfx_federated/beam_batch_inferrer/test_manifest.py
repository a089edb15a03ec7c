import pytest

from tfx_federated.beam_batch_inferrer import manifest
from tfx_federated.beam_batch_inferrer.shard_files import SiloIndex, WrittenFile
from tfx_federated.beam_batch_inferrer.shard_record import ShardRecord
from tfx_federated.example_shards import ExampleShard

SHARDS = [ExampleShard(number, "eval", f"0/Split-eval/x-{number}", f"x-{number}") for number in range(2)]
SCORE = {"score": {"dtype": "float32", "shape": [1]}}


def record(rows_of_silo, letters=(), outputs=SCORE):
    """Returns a record of a shard whose rows are in one file, `p<rows>`."""
    rows = sum(rows_of_silo.values())
    starts = [sum(list(rows_of_silo.values())[:place]) for place in range(len(rows_of_silo))]
    return ShardRecord(
        fingerprint="",
        rows=rows + sum(count for _, _, count in letters),
        outputs=outputs,
        files=[WrittenFile(f"p{rows}", rows, 10 * rows, "digest")] if rows else [],
        index=SiloIndex(list(rows_of_silo), [f"p{rows}"] * len(rows_of_silo), starts, list(rows_of_silo.values())),
        dead_letters=list(letters),
    )


def manifest_of(records, skipped_reason=None, own_silos=None):
    return manifest.make_manifest(SHARDS, records, {"model": "m"}, skipped_reason, own_silos)


RECORDS = [record({"b": 2, "a": 3}), record({None: 1, "a": 2}, [("a", "nan_prediction", 4), (None, "unparsable", 1)])]


def test_shards_add_up_per_silo_and_rows_without_a_silo_come_first():
    content = manifest_of(RECORDS)
    assert content["silos"] == [
        {"silo": None, "rows": 1, "dead_letters": {"unparsable": 1}},
        {"silo": "a", "rows": 5, "dead_letters": {"nan_prediction": 4}},
        {"silo": "b", "rows": 2, "dead_letters": {}},
    ]
    assert (content["rows_in"], content["rows_scored"], content["rows_without_silo"]) == (13, 8, 1)
    assert content["dead_letters"] == {"nan_prediction": 4, "unparsable": 1}
    assert content["rows_by_global_model"] is None
    assert [(shard["source"], shard["rows"]) for shard in content["shards"]] == [
        ("0/Split-eval/x-0", 5),
        ("0/Split-eval/x-1", 8),
    ]
    assert [(file["path"], file["rows"], file["bytes"], file["sha256"]) for file in content["files"]] == [
        ("p5", 5, 50, "digest"),
        ("p3", 3, 30, "digest"),
    ]
    assert content["outputs"] == SCORE


def test_rows_of_silos_without_an_own_model_are_counted():
    content = manifest_of(RECORDS, own_silos=["a", "unseen"])
    assert content["rows_by_global_model"] == 3
    assert {silo["silo"]: silo["own_model"] for silo in content["silos"]} == {None: False, "a": True, "b": False}


def test_index_is_sorted_by_silo_and_file():
    assert manifest.make_index(RECORDS).to_pylist() == [
        {"silo": None, "path": "p3", "first_row": 0, "rows": 1},
        {"silo": "a", "path": "p3", "first_row": 1, "rows": 2},
        {"silo": "a", "path": "p5", "first_row": 2, "rows": 3},
        {"silo": "b", "path": "p5", "first_row": 0, "rows": 2},
    ]
    assert len(manifest.make_index([])) == 0


def test_lost_rows_are_an_error():
    lost = record({"a": 4})
    lost.rows = 5
    with pytest.raises(ValueError, match="5 rows were read, 4 written and 0 put aside"):
        manifest_of([lost, ShardRecord("")])


def test_dead_letters_within_the_share_are_accepted():
    manifest.require_few_dead_letters(manifest_of(RECORDS), maximum_share=5 / 13)


def test_too_many_dead_letters_are_named_by_silo_reason_and_count():
    with pytest.raises(ValueError, match=r"5 of 13 rows cannot be scored, .*maximum_dead_letter_share=0.38") as caught:
        manifest.require_few_dead_letters(manifest_of(RECORDS), maximum_share=0.38)
    assert "1 without a known silo (unparsable)" in str(caught.value)
    assert "4 of silo 'a', which has 5 others (nan_prediction)" in str(caught.value)


def test_few_of_many_culprits_are_named():
    letters = [(f"s{i}", "nan_prediction", 1) for i in range(8)]
    with pytest.raises(ValueError, match=r"of silo 's4', .*\(nan_prediction\); and 3 more"):
        manifest.require_few_dead_letters(manifest_of([record({}, letters), ShardRecord("")]), 0.0)


def test_outputs_that_differ_between_shards_are_an_error():
    other = {"score": {"dtype": "float32", "shape": [2]}}
    with pytest.raises(ValueError, match="0/Split-eval/x-1"):
        manifest_of([record({"a": 1}), record({"a": 1}, outputs=other)])


def test_problems_of_shards_are_told():
    with pytest.raises(ValueError, match=r"1 of 2 shards cannot be scored\. x-1 is cut"):
        manifest.require_no_problem([ShardRecord(""), ShardRecord("", problem="x-1 is cut")])


def test_nothing_scored_says_why():
    content = manifest_of([], skipped_reason="not blessed")
    assert (content["scored"], content["skipped_reason"]) == (False, "not blessed")
    assert (content["rows_in"], content["silos"], content["shards"], content["files"]) == (0, [], [], [])
