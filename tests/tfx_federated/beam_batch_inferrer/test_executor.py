import os
import urllib.parse

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from pyarrow import dataset, parquet
from tensorflow_serving.apis import prediction_log_pb2
from tfx.types import standard_artifacts

from tests.tfx_federated.beam_batch_inferrer.inference_case import (
    digests,
    example,
    examples_artifact,
    expected_score,
    file_size_limit,
    run,
    save_model,
    write_shard,
)
from tfx_federated.beam_batch_inferrer import inference_results

HOSTILE = ["a/b", "..", ".", "%2F", 'it\'s "<b>"', "Zürich €", "a\nb", "x" * 300, "A", "a", "007"]
HOSTILE += ["__HIVE_DEFAULT_PARTITION__"]
RECORDS = {
    (shard, row): (float(row - shard), silo)
    for shard in range(3)
    for row, silo in enumerate([*HOSTILE[shard:], None, "", *HOSTILE[:4]])
}
SOURCES = ["0/Split-train/x-0.gz", "0/Split-eval/x-0.gz", "1/Split-eval/x-0"]


def records_of(shard):
    return [example(x, silo) for (number, _), (x, silo) in RECORDS.items() if number == shard]


@pytest.fixture(scope="module")
def hostile_examples(tmp_path_factory):
    """Three shards: a split in one artifact, a split in two, gzip-compressed and not."""
    folder = tmp_path_factory.mktemp("hostile")
    return [
        examples_artifact(folder / "a", {"train/x-0.gz": records_of(0), "eval/x-0.gz": records_of(1)}),
        examples_artifact(folder / "b", {"eval/x-0": records_of(2)}),
    ]


@pytest.fixture(scope="module")
def hostile_result(tmp_path_factory, sigmoid_model, hostile_examples):
    return run(sigmoid_model, hostile_examples, tmp_path_factory.mktemp("out") / "result", batch_size=5)


def rows_by_silo():
    expected = {}
    for (shard, row), (x, silo) in RECORDS.items():
        expected.setdefault(silo or None, {})[(SOURCES[shard], row)] = x
    return expected


def test_every_row_is_scored_in_the_partition_of_its_silo(hostile_result):
    manifest = inference_results.read_manifest(hostile_result.uri)
    expected = rows_by_silo()
    assert {entry["silo"] for entry in manifest["silos"]} == set(expected)
    for entry in manifest["silos"]:
        table = inference_results.read_silo(hostile_result.uri, entry["silo"]).to_pandas()
        of_silo = expected[entry["silo"]]
        assert entry["rows"] == len(of_silo)
        keys = list(zip(table["source"], table["row"], strict=True))
        assert sorted(keys) == sorted(of_silo)
        np.testing.assert_allclose(table["score"], expected_score([of_silo[key] for key in keys]), rtol=1e-6)
        assert list(table["split"]) == [key[0].split("/")[1].removeprefix("Split-") for key in keys]


def test_files_are_those_of_the_manifest_and_hold_one_silo_each(hostile_result):
    manifest = inference_results.read_manifest(hostile_result.uri)
    silo_of_row = {key: silo for silo, rows in rows_by_silo().items() for key in rows}
    listed = {f"{entry['folder']}/{name}": entry for entry in manifest["silos"] for name in entry["files"]}
    assert set(digests(hostile_result.uri)) == {*listed, "_manifest.json"}
    for path, entry in listed.items():
        table = parquet.read_table(f"{hostile_result.uri}/{path}", partitioning=None)
        rows = zip(table["source"].to_pylist(), table["row"].to_pylist(), strict=True)
        assert {silo_of_row[key] for key in rows} == {entry["silo"]}


def test_pyarrow_reads_the_partitions(hostile_result):
    table = dataset.dataset(
        hostile_result.uri, format="parquet", partitioning=inference_results.PARTITIONING
    ).to_table()
    silo_of_row = {key: silo for silo, rows in rows_by_silo().items() for key in rows}
    assert table.num_rows == len(RECORDS)
    for row in table.to_pylist():
        silo = silo_of_row[(row["source"], row["row"])]
        if silo == "__HIVE_DEFAULT_PARTITION__" or (silo and len(silo) > 255):
            assert "@" in row["silo"]
        else:
            assert row["silo"] == silo


def test_pandas_reads_the_partitions(hostile_result):
    frame = pd.read_parquet(hostile_result.uri, partitioning=inference_results.PARTITIONING)
    assert len(frame) == len(RECORDS)
    assert (frame["silo"] == "007").sum() == len(rows_by_silo()["007"])


def test_counts_are_on_the_artifact_and_in_the_manifest(hostile_result, hostile_examples, sigmoid_model):
    without = len(rows_by_silo()[None])
    assert hostile_result.get_int_custom_property("scored") == 1
    assert hostile_result.get_int_custom_property("rows") == len(RECORDS)
    assert hostile_result.get_int_custom_property("silos") == len(HOSTILE)
    assert hostile_result.get_int_custom_property("rows_without_silo") == without
    assert hostile_result.get_string_custom_property("output_format") == "parquet"
    manifest = inference_results.read_manifest(hostile_result.uri)
    assert manifest["rows_in"] == manifest["rows_scored"] == len(RECORDS)
    assert manifest["rows_without_silo"] == without
    assert manifest["model"] == sigmoid_model.uri
    assert manifest["examples"] == [artifact.uri for artifact in hostile_examples]
    assert manifest["splits"] == ["train", "eval"]
    assert manifest["outputs"] == {"score": {"dtype": "float32", "shape": [1]}}
    assert [shard["source"] for shard in manifest["shards"]] == SOURCES


def test_same_inputs_give_the_same_files(tmp_path, sigmoid_model, hostile_examples, hostile_result):
    again = run(sigmoid_model, hostile_examples, tmp_path / "again", batch_size=5)
    assert digests(again.uri) == digests(hostile_result.uri)


def test_one_split_of_several(tmp_path, sigmoid_model, hostile_examples):
    result = run(sigmoid_model, hostile_examples, tmp_path / "out", splits='["train"]')
    assert result.get_int_custom_property("rows") == len(records_of(0))


def test_prediction_logs_are_partitioned_and_hold_the_example(tmp_path, sigmoid_model, hostile_examples):
    result = run(sigmoid_model, hostile_examples, tmp_path / "out", output_format="tfrecord")
    for silo, rows in rows_by_silo().items():
        files = inference_results.silo_files(result.uri, silo)
        logs = [
            prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log
            for record in tf.data.TFRecordDataset(files, compression_type="GZIP")
        ]
        parsed = [
            tf.train.Example.FromString(tf.make_ndarray(log.request.inputs["examples"])[0]).features.feature
            for log in logs
        ]
        assert {feature["company"].bytes_list.value[0].decode() for feature in parsed if "company" in feature} <= {
            silo or ""
        }
        x = [feature["x"].float_list.value[0] for feature in parsed]
        assert sorted(x) == sorted(rows.values())
        scores = [tf.make_ndarray(log.response.outputs["score"])[0, 0] for log in logs]
        np.testing.assert_allclose(scores, expected_score(x), rtol=1e-6)
    with pytest.raises(ValueError, match="are tfrecord; read the files"):
        inference_results.read_silo(result.uri, "a/b")


def test_no_call_of_the_model_exceeds_the_batch_size(tmp_path):
    model = save_model(
        tmp_path / "model", lambda parsed: {"batch": tf.fill(tf.shape(parsed["x"]), tf.size(parsed["x"]))}
    )
    examples = examples_artifact(tmp_path / "examples", {"eval/x": [example(0.0, "a")] * 10})
    result = run(model, [examples], tmp_path / "out", batch_size=4)
    table = inference_results.read_silo(result.uri, "a")
    assert table["batch"].to_pylist() == [4, 4, 4, 4, 4, 4, 4, 4, 2, 2]


def test_integer_silo_key_is_its_digits(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "examples", {"eval/x": [example(0.0, silo) for silo in (12, -3, 12)]})
    result = run(sigmoid_model, [examples], tmp_path / "out")
    manifest = inference_results.read_manifest(result.uri)
    assert {entry["silo"]: entry["rows"] for entry in manifest["silos"]} == {"12": 2, "-3": 1}


@pytest.mark.parametrize("name", ["eval/x", "eval/x.gz"])
def test_split_without_rows_gives_whole_results_without_rows(tmp_path, sigmoid_model, name):
    result = run(sigmoid_model, [examples_artifact(tmp_path / "examples", {name: []})], tmp_path / "out")
    manifest = inference_results.read_manifest(result.uri)
    assert (manifest["scored"], manifest["rows_in"], manifest["silos"], manifest["outputs"]) == (True, 0, [], {})
    assert result.get_int_custom_property("rows") == 0
    assert set(digests(result.uri)) == {"_manifest.json"}


def blessing_of(uri, blessed):
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(uri)
    blessing.set_int_custom_property("blessed", int(blessed))
    return blessing


def test_blessed_model_is_applied(tmp_path, sigmoid_model, hostile_examples):
    result = run(sigmoid_model, hostile_examples, tmp_path / "out", blessing=blessing_of("/blessing", True))
    assert result.get_int_custom_property("rows") == len(RECORDS)


def test_model_that_is_not_blessed_is_not_applied_and_the_output_says_so(tmp_path, sigmoid_model, hostile_examples):
    result = run(sigmoid_model, hostile_examples, tmp_path / "out", blessing=blessing_of("/blessing", False))
    reason = "the model is not blessed by /blessing"
    assert result.get_int_custom_property("scored") == 0
    assert result.get_string_custom_property("skipped_reason") == reason
    manifest = inference_results.read_manifest(result.uri)
    assert (manifest["scored"], manifest["skipped_reason"], manifest["rows_in"]) == (False, reason, 0)
    assert set(digests(result.uri)) == {"_manifest.json"}


def refused(tmp_path, model, records, match, error=ValueError, **properties):
    examples = examples_artifact(tmp_path / "examples", {"eval/x-0": records})
    with pytest.raises(error, match=match) as caught:
        run(model, [examples], tmp_path / "out", **properties)
    assert not os.path.exists(tmp_path / "out" / "_manifest.json")
    return caught.value


def test_nan_prediction_is_refused_by_silo_and_count(tmp_path, sigmoid_model):
    records = [example(x, silo) for x, silo in [(1.0, "a"), (np.nan, "b"), (np.nan, "b"), (1.0, "b")]]
    refused(tmp_path, sigmoid_model, records, "output 'score' is NaN for 2 of 3 rows of silo 'b'")


def test_missing_feature_is_refused_by_shard_and_name(tmp_path, sigmoid_model):
    records = [example(1.0, "a")] * 4 + [example(None, "secret")]
    error = refused(
        tmp_path,
        sigmoid_model,
        records,
        r"1 of 1 shards cannot be scored. shard 0/Split-eval/x-0 .*batch that starts at row 4: .*Feature: x ",
        batch_size=2,
    )
    assert "secret" not in str(error)


def test_malformed_silo_key_is_refused_by_shard_and_row(tmp_path, sigmoid_model):
    records = [example(1.0, "a"), example(1.0, ["secret", "b"])]
    error = refused(tmp_path, sigmoid_model, records, "shard 0/Split-eval/x-0 .*row 1 of the batch.* 2 values")
    assert "secret" not in str(error)


def test_output_that_is_not_per_row_is_refused(tmp_path):
    model = save_model(tmp_path / "model", lambda parsed: {"mean": tf.reduce_mean(parsed["x"])})
    refused(tmp_path, model, [example(1.0, "a")], r"output 'mean' .*shape \[\]")


@pytest.mark.parametrize(
    ("properties", "match"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"output_format": "csv"}, "output_format is 'csv'"),
        ({"silo_key": ""}, "silo_key is empty"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, sigmoid_model, properties, match):
    refused(tmp_path, sigmoid_model, [example(1.0, "a")], match, **properties)


def test_missing_split_is_refused(tmp_path, sigmoid_model):
    refused(tmp_path, sigmoid_model, [example(1.0, "a")], "split 'test'", splits='["test"]')


def test_missing_model_is_refused(tmp_path):
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "nowhere")
    refused(tmp_path, model, [example(1.0, "a")], "there is no SavedModel")


def test_folder_that_holds_files_is_refused(tmp_path, sigmoid_model):
    write_shard(f"{tmp_path}/out/old", [])
    refused(tmp_path, sigmoid_model, [example(1.0, "a")], "not empty", error=FileExistsError)


def test_cut_shard_is_refused_by_name(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "examples", {"eval/x.gz": [example(float(i), "a") for i in range(50)]})
    path = f"{examples.uri}/Split-eval/x.gz"
    os.truncate(path, os.path.getsize(path) - 6)
    with pytest.raises(ValueError, match=r"shard 0/Split-eval/x.gz .* cut short"):
        run(sigmoid_model, [examples], tmp_path / "out")
    assert not os.path.exists(tmp_path / "out" / "_manifest.json")


@pytest.mark.parametrize("output_format", ["parquet", "tfrecord"])
def test_full_disk_leaves_no_manifest(tmp_path, output_format):
    waves = tf.range(1.0, 65.0)
    model = save_model(tmp_path / "model", lambda parsed: {"waves": tf.sin(parsed["x"][:, tf.newaxis] * waves)})
    records = [example(i / 7.0, "a") for i in range(2000)]
    examples = examples_artifact(tmp_path / "examples", {"eval/x": records})
    with file_size_limit(100_000), pytest.raises(Exception, match="File too large"):
        run(model, [examples], tmp_path / "out", output_format=output_format)
    with pytest.raises(ValueError, match="did not finish"):
        inference_results.read_manifest(str(tmp_path / "out"))


def test_folder_names_carry_no_unescaped_id(hostile_result):
    for name in os.listdir(hostile_result.uri):
        if name.startswith("silo=") and "@" not in name:
            escaped = name.removeprefix("silo=")
            assert urllib.parse.quote(urllib.parse.unquote(escaped), safe="") == escaped
