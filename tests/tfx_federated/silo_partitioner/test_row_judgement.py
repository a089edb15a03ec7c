import collections
import hashlib
import itertools

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.testing import test_pipeline, util

from tests.tfx_federated.silo_partitioner.partition_run import RUNNER, serialized
from tfx_federated.silo_partitioner import parameters as parameters_lib
from tfx_federated.silo_partitioner import row_judgement

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("record", "judgement"),
    [
        (serialized(company="A", fare=1.0), ("", "", "A")),
        (serialized(company=7, fare=[1.0, 2.0]), ("", "", "7")),
        (b"no tf.Example", ("unparsable_record", "", "")),
        (serialized(company=["A", "B"]), ("malformed_silo_key", "company", "")),
        (serialized(company=1.5), ("malformed_silo_key", "company", "")),
        (serialized(company="A", fare=NAN), ("non_finite_value", "fare", "A")),
        (serialized(company="A", fare=[0.0, -INFINITY]), ("non_finite_value", "fare", "A")),
        (serialized(company="A", tip=NAN, fare=INFINITY), ("non_finite_value", "fare", "A")),
        (serialized(fare=NAN), ("non_finite_value", "fare", "")),
        (serialized(company="", fare=1.0), ("without_silo", "company", "")),
        (serialized(fare=1.0), ("without_silo", "company", "")),
        (serialized(), ("without_silo", "company", "")),
    ],
)
def test_judgement(record, judgement):
    assert row_judgement.judge(row_judgement.parse_example(record), "company") == judgement


@pytest.mark.parametrize("names", list(itertools.permutations(["company", "fare", "tip"])))
def test_the_order_in_which_features_were_written_does_not_show(names):
    values = {"company": "A", "fare": 1.5, "tip": 2.0}
    # Messages written one behind the other read as one that holds the fields of all.
    record = b"".join(serialized(**{name: values[name]}) for name in names)
    canonical = row_judgement.canonical(row_judgement.parse_example(record))
    assert canonical == row_judgement.canonical(tf.train.Example.FromString(serialized(**values)))
    assert canonical.index(b"company") < canonical.index(b"fare") < canonical.index(b"tip")


def test_a_missing_float_value_is_not_malformed():
    example = tf.train.Example.FromString(serialized(company="A"))
    example.features.feature["fare"].float_list.SetInParent()
    assert row_judgement.judge(example, "company") == ("", "", "A")


def test_the_largest_float_is_finite():
    largest = float(tf.float32.max)
    assert (
        row_judgement.judge(tf.train.Example.FromString(serialized(company="A", fare=largest)), "company").reason == ""
    )


def test_the_shard_of_a_key_never_changes():
    # From `printf A | sha256sum`: the first 8 bytes are 559aead08264d579, and 0x559aead08264d579 % 7 is 3.
    assert hashlib.sha256(b"A").hexdigest().startswith("559aead08264d579")
    assert row_judgement.shard_of(b"A", 7) == 0x559AEAD08264D579 % 7


def test_silos_spread_over_the_shards():
    counts = collections.Counter(row_judgement.shard_of(b"silo-%d" % number, 4) for number in range(4000))
    assert set(counts) == {0, 1, 2, 3}
    assert max(counts.values()) < 1200


def judged(records, policy, tag):
    parameters = parameters_lib.PartitionParameters("company", None, 1, 1, policy, 1.0)
    pipeline = test_pipeline.TestPipeline(argv=[RUNNER])
    outputs = (
        pipeline
        | beam.Create([("train", record) for record in records])
        | beam.ParDo(row_judgement.JudgeRows(parameters)).with_outputs("set_aside", "tally", main="kept")
    )
    return pipeline, outputs[tag]


ROWS = [serialized(company="A", fare=1.0), serialized(company="A", fare=NAN), serialized(fare=2.0), b"broken"]


@pytest.mark.parametrize(
    ("policy", "tag", "expected"),
    [
        ("skip", "kept", [(0, ("train", "A", ROWS[0]))]),
        ("assign:none", "kept", [(0, ("train", "A", ROWS[0])), (0, ("train", "none", ROWS[2]))]),
        (
            "skip",
            "set_aside",
            [
                (("train", 0), ("non_finite_value", "fare", "A", ROWS[1])),
                (("train", 0), ("without_silo", "company", "", ROWS[2])),
                (("train", 0), ("unparsable_record", "", "", ROWS[3])),
            ],
        ),
    ],
)
def test_rows_go_to_the_output_that_their_judgement_says(policy, tag, expected):
    pipeline, output = judged(ROWS, policy, tag)
    with pipeline:
        util.assert_that(output, util.equal_to(expected))


def test_the_tally_counts_every_row_and_feature():
    pipeline, output = judged(ROWS, "assign:none", "tally")
    expected = [
        (("rows_in", "train"), 4),
        (("assigned", "train"), 1),
        (("feature", "company"), 2),
        (("feature", "fare"), 3),
        (("set_aside", "train", "non_finite_value", "fare", "A"), 1),
        (("set_aside", "train", "unparsable_record", "", ""), 1),
    ]
    with pipeline:
        util.assert_that(output | beam.CombinePerKey(sum), util.equal_to(expected))
