import pytest

from tfx_federated.beam_batch_inferrer.manifest import make_manifest
from tfx_federated.beam_batch_inferrer.shard_scoring import ShardRecord
from tfx_federated.beam_batch_inferrer.silo_parts import SiloCounts
from tfx_federated.example_shards import ExampleShard

SHARDS = [ExampleShard(number, "eval", f"0/Split-eval/x-{number}", f"x-{number}") for number in range(2)]
SCORE = {"score": {"dtype": "float32", "shape": [1]}}


def manifest_of(records, skipped_reason=None):
    return make_manifest(SHARDS, records, {"model": "m"}, "parquet", skipped_reason)


def test_shards_add_up_per_silo_and_rows_without_a_silo_come_first():
    records = [
        ShardRecord(5, SCORE, [SiloCounts("b", 2, 20, ["p0"]), SiloCounts("a", 3, 30, ["p0"])]),
        ShardRecord(3, SCORE, [SiloCounts(None, 1, 10, ["p1"]), SiloCounts("a", 2, 25, ["p1"])]),
    ]
    content = manifest_of(records)
    assert [(entry["silo"], entry["rows"], entry["bytes"], entry["files"]) for entry in content["silos"]] == [
        (None, 1, 10, ["p1"]),
        ("a", 5, 55, ["p0", "p1"]),
        ("b", 2, 20, ["p0"]),
    ]
    assert (content["rows_in"], content["rows_scored"], content["rows_without_silo"]) == (8, 8, 1)
    assert [(shard["source"], shard["rows"]) for shard in content["shards"]] == [
        ("0/Split-eval/x-0", 5),
        ("0/Split-eval/x-1", 3),
    ]
    assert content["outputs"] == SCORE


def test_lost_rows_are_an_error():
    with pytest.raises(ValueError, match="5 rows were read and 4 written"):
        manifest_of([ShardRecord(5, SCORE, [SiloCounts("a", 4, 1, ["p"])]), ShardRecord()])


def test_nan_is_named_by_silo_and_count():
    silos = [SiloCounts("a", 5, 1, ["p"], {"score": 2}), SiloCounts(None, 1, 1, ["p"], {"score": 1})]
    with pytest.raises(ValueError, match=r"NaN for 1 of 1 rows without a silo; .*NaN for 2 of 5 rows of silo 'a'"):
        manifest_of([ShardRecord(6, SCORE, silos), ShardRecord()])


def test_few_of_many_culprits_are_named():
    silos = [SiloCounts(f"s{i}", 1, 1, ["p"], {"score": 1}) for i in range(8)]
    with pytest.raises(ValueError, match="silo 's4'; and 3 more"):
        manifest_of([ShardRecord(8, SCORE, silos), ShardRecord()])


def test_outputs_that_differ_between_shards_are_an_error():
    other = {"score": {"dtype": "float32", "shape": [2]}}
    records = [ShardRecord(1, SCORE, [SiloCounts("a", 1)]), ShardRecord(1, other, [SiloCounts("a", 1)])]
    with pytest.raises(ValueError, match="0/Split-eval/x-1"):
        manifest_of(records)


def test_problems_of_shards_are_told():
    with pytest.raises(ValueError, match=r"1 of 2 shards cannot be scored\. x-1 is cut"):
        manifest_of([ShardRecord(), ShardRecord(problem="x-1 is cut")])


def test_nothing_scored_says_why():
    content = manifest_of([], skipped_reason="not blessed")
    assert (content["scored"], content["skipped_reason"]) == (False, "not blessed")
    assert (content["rows_in"], content["silos"], content["shards"]) == (0, [], [])
