import pyarrow as pa
import pytest

from tfx_federated import silo_examples
from tfx_federated.silo_partitioner import counts as counts_lib
from tfx_federated.silo_partitioner import parameters as parameters_lib
from tfx_federated.silo_partitioner import shard_writer
from tfx_federated.silo_partitioner import tally as tally_lib

PARAMETERS = parameters_lib.PartitionParameters("company", None, 3, 2, "skip", 0.5)


def count(train_rows):
    index = pa.Table.from_pylist(
        [
            {"silo": "A", "split": "train", "shard": 0, "offset": 0, "bytes": 90, "rows": 5, "checksum": ""},
            {"silo": "B", "split": "train", "shard": 1, "offset": 0, "bytes": 50, "rows": 3, "checksum": ""},
            {"silo": "A", "split": "eval", "shard": 0, "offset": 0, "bytes": 30, "rows": 2, "checksum": ""},
        ],
        schema=silo_examples.INDEX_SCHEMA,
    )
    below = pa.Table.from_pylist(
        [
            {"silo": "D", "split": "eval", "rows": 4, "decisive_rows": 0},
            {"silo": "C", "split": "train", "rows": 1, "decisive_rows": 1},
            {"silo": "C", "split": "eval", "rows": 1, "decisive_rows": 1},
        ],
        schema=shard_writer.BELOW_MINIMUM_SCHEMA,
    )
    tally = tally_lib.Tally.from_counts(
        [
            (("rows_in", "train"), train_rows),
            (("rows_in", "eval"), 7),
            (("assigned", "train"), 2),
            (("set_aside", "train", "non_finite_value", "fare", "A"), 1),
            (("set_aside", "train", "non_finite_value", "fare", "B"), 2),
            (("set_aside", "train", "without_silo", "company", ""), 6),
        ]
    )
    return counts_lib.count_rows(["train", "eval", "test"], PARAMETERS, tally, index, below)


def test_every_row_is_accounted_for_per_split_and_in_all():
    counts = count(train_rows=18)
    reasons = [{"reason": "non_finite_value", "feature": "fare", "rows": 3}]
    names = ["rows_in", "kept", "without_silo", "malformed", "below_minimum", "assigned", "silos"]
    assert [counts[name] for name in names] == [25, 10, 6, 3, 6, 2, 2]
    assert [counts["splits"]["train"][name] for name in names] == [18, 8, 6, 3, 1, 2, 2]
    assert [counts["splits"]["eval"][name] for name in names] == [7, 2, 0, 0, 5, 0, 1]
    assert [counts["splits"]["test"][name] for name in names] == [0] * 7
    assert counts["malformed_reasons"] == counts["splits"]["train"]["malformed_reasons"] == reasons
    assert counts["skipped_silos"] == [{"silo": "C", "rows": 1}, {"silo": "D", "rows": 0}]
    assert (counts["silo_key"], counts["shards"], counts["minimum_rows"]) == ("company", 2, 3)


@pytest.mark.parametrize("train_rows", [17, 19])
def test_a_lost_or_doubled_row_is_noticed(train_rows):
    with pytest.raises(RuntimeError, match=f"'train': {train_rows} rows were read but 18 are accounted for"):
        count(train_rows)
