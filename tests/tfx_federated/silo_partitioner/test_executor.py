import collections
import json
import resource

import hypothesis
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from absl import logging
from hypothesis import strategies as st

from tests.tfx_federated.silo_partitioner.partition_run import (
    examples_artifact,
    partition,
    records_of_silos,
    serialized,
)
from tfx_federated import silo_examples

NAN = float("nan")
ODD = 'Zoë/"<b>\n..\\'
A = [serialized(company="A", fare=float(number)) for number in range(4)]
ODD_ROWS = [serialized(company=ODD, fare=1.0), serialized(company=ODD, fare=2.0)]
SMALL = serialized(company="small", fare=3.0)
INTEGER = [serialized(company=7, fare=float(number)) for number in range(2)]
LATE = serialized(company="late", fare=9.0)
WITHOUT = [serialized(fare=4.0), serialized(company="", fare=5.0)]
NOT_FINITE = serialized(company="A", fare=NAN)
FLOAT_KEY = serialized(company=1.5)
UNPARSABLE = b"not a tf.Example"

TRAIN = [*A[:3], *ODD_ROWS, SMALL, *INTEGER, WITHOUT[0], NOT_FINITE, FLOAT_KEY, UNPARSABLE, A[0]]
EVAL = [A[3], LATE, SMALL, WITHOUT[1]]


def artifacts_of(folder, train=TRAIN, evaluation=EVAL, files=2):
    """Two artifacts: one compressed with both splits, one without suffix and compression with train alone."""
    return [
        examples_artifact(folder / "first", {"train": train[:7], "eval": evaluation}, files),
        examples_artifact(folder / "second", {"train": train[7:]}, compressed=False),
    ]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("output")
    return partition(
        artifacts_of(folder),
        folder / "silo_examples",
        minimum_rows=2,
        rows_without_silo="skip",
        maximum_malformed_share=0.3,
    )


@pytest.fixture(scope="module")
def reader(output):
    return silo_examples.SiloExamplesReader(output.uri)


def test_silos_of_all_artifacts_are_read_back_split_by_split(reader):
    assert (reader.splits, reader.silos, reader.silo_key) == (["train", "eval"], ["7", "A", ODD], "company")
    assert records_of_silos(reader, "train") == {
        "7": sorted(INTEGER),
        "A": sorted([*A[:3], A[0]]),
        ODD: sorted(ODD_ROWS),
    }
    assert records_of_silos(reader, "eval") == {"A": [A[3]]}


def test_every_row_is_counted(reader):
    names = ["rows_in", "kept", "without_silo", "malformed", "below_minimum", "assigned", "silos"]
    counts = reader.counts
    assert [counts["splits"]["train"][name] for name in names] == [13, 8, 1, 3, 1, 0, 3]
    assert [counts["splits"]["eval"][name] for name in names] == [4, 1, 1, 0, 2, 0, 1]
    assert [counts[name] for name in names] == [17, 9, 2, 3, 3, 0, 3]
    assert counts["malformed_reasons"] == [
        {"reason": "malformed_silo_key", "feature": "company", "rows": 1},
        {"reason": "non_finite_value", "feature": "fare", "rows": 1},
        {"reason": "unparsable_record", "feature": "", "rows": 1},
    ]
    assert counts["skipped_silos"] == [{"silo": "late", "rows": 0}, {"silo": "small", "rows": 1}]


def rows_set_aside(output, split):
    folder = tf.io.gfile.join(output.uri, "set_aside")
    tables = [pq.read_table(path) for path in tf.io.gfile.glob(f"{folder}/{split}-*-of-00003.parquet")]
    return sorted(tuple(row.values()) for table in tables for row in table.to_pylist())


def test_rows_put_aside_are_kept_with_their_reason(output):
    assert rows_set_aside(output, "train") == [
        ("malformed_silo_key", "company", "", FLOAT_KEY),
        ("non_finite_value", "fare", "A", NOT_FINITE),
        ("unparsable_record", "", "", UNPARSABLE),
        ("without_silo", "company", "", WITHOUT[0]),
    ]
    assert rows_set_aside(output, "eval") == [("without_silo", "company", "", WITHOUT[1])]


def test_only_the_described_files_are_left(output):
    files = {
        tf.io.gfile.join(folder, name)[len(output.uri) + 1 :]
        for folder, _, names in tf.io.gfile.walk(output.uri)
        for name in names
    }
    # 559aead08264d579 and 7902699be42c8a8e are the first 8 bytes of the SHA-256 of "A" and of "7".
    shards = {0x559AEAD08264D579 % 3, 0x7902699BE42C8A8E % 3}
    assert {f"Split-train/shard-0000{shard}-of-00003.tfrecord" for shard in shards} <= files
    patterns = {name.split("-0000")[0] for name in files}
    assert patterns == {
        "Split-train/shard",
        "Split-eval/shard",
        "set_aside/train",
        "set_aside/eval",
        "index.parquet",
        "counts.json",
    }


def test_the_artifact_shows_the_main_numbers(output):
    assert json.loads(output.get_string_custom_property("splits")) == ["train", "eval"]
    assert output.get_string_custom_property("silo_key") == "company"
    assert output.get_string_custom_property("rows_without_silo") == "skip"
    numbers = ["rows", "silos", "skipped_silos", "rows_in", "malformed", "without_silo", "below_minimum", "assigned"]
    assert [output.get_int_custom_property(name) for name in numbers] == [9, 3, 2, 17, 3, 2, 3, 0]


def test_the_log_shows_the_numbers_and_no_row(tmp_path, caplog):
    logging.use_python_logging()
    caplog.set_level("INFO")
    examples = [examples_artifact(tmp_path / "in", {"train": [*A, SMALL]})]
    partition(examples, tmp_path / "out", minimum_rows=2)
    assert "5 rows read; 4 kept (0 of them assigned a silo) in 1 silos" in caplog.text
    assert "silo 'small' skipped: 1 rows" in caplog.text
    assert "fare" not in caplog.text


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_order_and_number_of_the_input_files_do_not_show_in_the_output(tmp_path):
    results = []
    for name, train, evaluation, files in (("one", TRAIN, EVAL, 1), ("other", TRAIN[::-1], EVAL[::-1], 3)):
        examples = artifacts_of(tmp_path / name, train, evaluation, files)
        uri = tmp_path / name / "out"
        partition(examples, uri, minimum_rows=1, rows_without_silo="skip", maximum_malformed_share=1.0)
        results.append(contents(uri))
    assert results[0] == results[1]


def test_rows_without_silo_can_be_assigned_one(tmp_path):
    examples = [examples_artifact(tmp_path / "in", {"train": [*A, *WITHOUT]})]
    reader = silo_examples.SiloExamplesReader(
        partition(examples, tmp_path / "out", rows_without_silo="assign:none").uri
    )
    assert records_of_silos(reader, "train") == {"A": sorted(A), "none": sorted(WITHOUT)}
    assert [reader.counts[name] for name in ("rows_in", "kept", "without_silo", "assigned")] == [6, 6, 0, 2]


def test_one_row_is_enough(tmp_path):
    reader = silo_examples.SiloExamplesReader(
        partition([examples_artifact(tmp_path / "in", {"train": [SMALL]})], tmp_path / "out").uri
    )
    assert records_of_silos(reader, "train") == {"small": [SMALL]}


def test_only_the_chosen_splits_are_partitioned(tmp_path):
    examples = [examples_artifact(tmp_path / "in", {"train": [UNPARSABLE], "eval": [LATE], "test": [SMALL]})]
    reader = silo_examples.SiloExamplesReader(partition(examples, tmp_path / "out", splits='["test", "eval"]').uri)
    assert reader.splits == ["test", "eval"]
    assert reader.counts["rows_in"] == 2
    assert reader.silos == ["late", "small"]


silo_names = st.sampled_from(["A", "B", "ß", "\U0001f600", "\uffff", "a/b", '"', "-1"])


@hypothesis.given(
    rows=st.lists(st.tuples(st.sampled_from(["eval", "test"]), silo_names, st.integers(0, 3)), min_size=1, max_size=25),
    shards=st.integers(1, 4),
)
@hypothesis.settings(max_examples=10, deadline=None)
def test_each_silo_gets_back_exactly_its_rows(tmp_path_factory, rows, shards):
    folder = tmp_path_factory.mktemp("property")
    expected = collections.defaultdict(list)
    for split, silo, number in rows:
        expected[split, silo].append(serialized(company=silo, number=number))
    records = {
        name: [row for (split, _), rows in expected.items() if split == name for row in rows]
        for name in ("eval", "test")
    }
    output = partition([examples_artifact(folder / "in", records)], folder / "out", shards=shards)
    reader = silo_examples.SiloExamplesReader(output.uri)
    entries = [entry for split in reader.splits for entry in reader.entries(split)]
    assert {(entry.split, entry.silo): list(reader.read(entry)) for entry in entries} == {
        key: sorted(rows) for key, rows in expected.items()
    }
    files = collections.defaultdict(list)
    for entry in entries:
        files[silo_examples.shard_uri(output.uri, entry.split, entry.shard, shards)].append(entry)
    for path, in_file in files.items():
        assert [entry.offset for entry in in_file] == [0, *running_ends(in_file)[:-1]]
        assert running_ends(in_file)[-1] == tf.io.gfile.stat(path).length
        records = [record for entry in in_file for record in reader.read(entry)]
        assert list(tf.data.TFRecordDataset(path).as_numpy_iterator()) == records


def running_ends(entries):
    ends = []
    for entry in entries:
        ends.append(entry.bytes + (ends[-1] if ends else 0))
    return ends


@pytest.mark.parametrize(
    ("records", "parameters", "message"),
    [
        ({"train": [*A, NOT_FINITE]}, {}, r"1 of 5 rows are malformed.*'fare' \(silos: 'A'\)"),
        (
            {"train": [*A, UNPARSABLE]},
            {"maximum_malformed_share": 0.19},
            r"1 of 5 rows are malformed.*not a tf.Example",
        ),
        ({"train": [*A, WITHOUT[0]]}, {}, r"1 of 5 rows have no silo in 'company'"),
        ({"train": A}, {"silo_key": "carrier"}, r"silo_key 'carrier' occurs in none of 4 rows.*'company', 'fare'"),
        ({"train": []}, {}, "no rows for any silo"),
        ({"train": WITHOUT}, {"rows_without_silo": "skip"}, "no rows for any silo"),
        ({"train": A}, {"minimum_rows": 5}, "each of 1 silos has fewer than minimum_rows = 5"),
        ({"train": A}, {"splits": '["eval"]'}, r"no Examples artifact has a split 'eval'"),
        ({"train": A}, {"shards": 0}, "shards is 0"),
        ({}, {}, "without any split"),
    ],
)
def test_a_run_that_cannot_be_is_refused_and_leaves_nothing_to_read(tmp_path, records, parameters, message):
    with pytest.raises(ValueError, match=message):
        partition([examples_artifact(tmp_path / "in", records)], tmp_path / "out", **parameters)
    assert not list((tmp_path / "out").glob("[!.]*"))
    with pytest.raises(silo_examples.SiloExamplesError, match="did not finish"):
        silo_examples.SiloExamplesReader(str(tmp_path / "out"))


def test_no_error_shows_a_value(tmp_path):
    secret = serialized(company="A", fare=[NAN, 271828.0], name="Ada Lovelace")
    with pytest.raises(ValueError, match="malformed") as error:
        partition([examples_artifact(tmp_path / "in", {"train": [secret]})], tmp_path / "out")
    assert "271828" not in str(error.value)
    assert "Ada" not in str(error.value)


def test_another_payload_is_refused(tmp_path):
    examples = examples_artifact(tmp_path / "in", {"train": A})
    examples.set_string_custom_property("payload_format", "FORMAT_PARQUET")
    with pytest.raises(ValueError, match="payload FORMAT_PARQUET"):
        partition([examples], tmp_path / "out")


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "former").touch()
    with pytest.raises(FileExistsError, match=r"'silo_examples'.*not empty"):
        partition([examples_artifact(tmp_path / "in", {"train": A})], tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="'silo_examples': cannot write to"):
        partition([examples_artifact(tmp_path / "in", {"train": A})], tmp_path / "file" / "out")


def test_a_full_disk_leaves_nothing_that_a_reader_takes(tmp_path):
    rows = [serialized(company="A", text="x" * 100_000, number=number) for number in range(40)]
    examples = [examples_artifact(tmp_path / "in", {"train": rows})]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(Exception, match="File too large"):
            partition(examples, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "out").glob("[!.]*"))
    with pytest.raises(silo_examples.SiloExamplesError, match="did not finish"):
        silo_examples.SiloExamplesReader(str(tmp_path / "out"))
