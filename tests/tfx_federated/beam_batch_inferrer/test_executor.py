import os

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from google.protobuf import text_format
from pyarrow import dataset, parquet
from tensorflow_serving.apis import prediction_log_pb2
from tfx.components.bulk_inferrer import prediction_to_example_utils
from tfx.proto import bulk_inferrer_pb2
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
from tfx_federated.beam_batch_inferrer.layouts import LAYOUTS

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


@pytest.fixture(scope="module", params=list(LAYOUTS))
def hostile_result(request, tmp_path_factory, sigmoid_model, hostile_examples):
    uri = tmp_path_factory.mktemp("out") / "result"
    return run(sigmoid_model, hostile_examples, uri, batch_size=5, layout=request.param)


def layout_of(result):
    return inference_results.read_manifest(result.uri)["layout"]


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


def test_files_are_those_of_the_manifest(hostile_result):
    files = {file["path"]: file["sha256"] for file in inference_results.read_manifest(hostile_result.uri)["files"]}
    found = digests(hostile_result.uri)
    assert set(found) == {*files, "_manifest.json", "_index.parquet"}
    assert {path: found[path] for path in files} == files


def test_no_file_and_no_run_of_the_index_mixes_silos(hostile_result):
    """Every file is read back, and each of its rows compared with the silo of its example."""
    silo_of_row = {key: silo for silo, rows in rows_by_silo().items() for key in rows}
    index = parquet.read_table(f"{hostile_result.uri}/_index.parquet").to_pylist()
    seen = set()
    for file in inference_results.read_manifest(hostile_result.uri)["files"]:
        table = parquet.read_table(f"{hostile_result.uri}/{file['path']}", partitioning=None)
        rows = list(zip(table["source"].to_pylist(), table["row"].to_pylist(), strict=True))
        runs = [entry for entry in index if entry["path"] == file["path"]]
        if layout_of(hostile_result) == "silo_folders":
            assert len(runs) == 1
        else:
            assert table["silo"].to_pylist() == [silo_of_row[row] for row in rows]
        for entry in runs:
            of_run = rows[entry["first_row"] : entry["first_row"] + entry["rows"]]
            assert len(of_run) == entry["rows"]
            assert {silo_of_row[row] for row in of_run} == {entry["silo"]}
            assert seen.isdisjoint(of_run)
            seen.update(of_run)
    assert seen == set(silo_of_row)


def test_pyarrow_and_pandas_read_the_results(hostile_result):
    partitioning = inference_results.PARTITIONING if layout_of(hostile_result) == "silo_folders" else None
    table = dataset.dataset(hostile_result.uri, format="parquet", partitioning=partitioning).to_table()
    silo_of_row = {key: silo for silo, rows in rows_by_silo().items() for key in rows}
    assert table.num_rows == len(RECORDS)
    for row in table.to_pylist():
        silo = silo_of_row[(row["source"], row["row"])]
        is_digest = silo == "__HIVE_DEFAULT_PARTITION__" or (silo and len(silo) > 255)
        if partitioning and is_digest:
            assert "@" in row["silo"]
        else:
            assert row["silo"] == silo
    frame = pd.read_parquet(hostile_result.uri, partitioning=partitioning)
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
    assert manifest["model"] == {"uri": sigmoid_model.uri, "version": None}
    assert manifest["examples"] == [artifact.uri for artifact in hostile_examples]
    assert manifest["splits"] == ["train", "eval"]
    assert manifest["outputs"] == {"score": {"dtype": "float32", "shape": [1]}}
    assert [shard["source"] for shard in manifest["shards"]] == SOURCES


def test_same_inputs_give_the_same_files(tmp_path, sigmoid_model, hostile_examples, hostile_result):
    again = run(sigmoid_model, hostile_examples, tmp_path / "again", batch_size=5, layout=layout_of(hostile_result))
    assert digests(again.uri) == digests(hostile_result.uri)


def test_one_split_of_several(tmp_path, sigmoid_model, hostile_examples):
    result = run(sigmoid_model, hostile_examples, tmp_path / "out", splits='["train"]')
    assert result.get_int_custom_property("rows") == len(records_of(0))


def records_of_silo(result, silo):
    for place in inference_results.silo_rows(result.uri, silo):
        found = tf.data.TFRecordDataset(place.uri, compression_type="GZIP").skip(place.first_row).take(place.rows)
        yield from (record.numpy() for record in found)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prediction_logs_are_partitioned_and_hold_the_example(tmp_path, sigmoid_model, hostile_examples, layout):
    result = run(sigmoid_model, hostile_examples, tmp_path / "out", output_format="prediction_log", layout=layout)
    for silo, rows in rows_by_silo().items():
        records = records_of_silo(result, silo)
        logs = [prediction_log_pb2.PredictionLog.FromString(record).predict_log for record in records]
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


def test_bulk_inferrers_consumers_read_the_prediction_logs(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "examples", {"eval/x": [example(1.0, "a")]})
    result = run(sigmoid_model, [examples], tmp_path / "out", output_format="prediction_log")
    spec = text_format.Parse(
        """output_columns_spec { predict_output { output_columns { output_key: "score" output_column: "s" } } }""",
        bulk_inferrer_pb2.OutputExampleSpec(),
    )
    (log,) = map(prediction_log_pb2.PredictionLog.FromString, records_of_silo(result, "a"))
    features = prediction_to_example_utils.convert(log, spec).features.feature
    assert features["s"].float_list.value[0] == pytest.approx(expected_score(1.0))
    assert features["company"].bytes_list.value == [b"a"]


def test_examples_hold_the_predictions_as_features(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "examples", {"eval/x": [example(1.0, "a"), example(2.0, "b")]})
    result = run(sigmoid_model, [examples], tmp_path / "out", output_format="tf_example", passthrough_features='["x"]')
    (record,) = records_of_silo(result, "b")
    features = tf.train.Example.FromString(record).features.feature
    assert {name: list(getattr(feature, feature.WhichOneof("kind")).value) for name, feature in features.items()} == {
        "split": [b"eval"],
        "source": [b"0/Split-eval/x"],
        "row": [1],
        "score": [pytest.approx(expected_score(2.0))],
        "x": [2.0],
    }


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
    assert set(digests(result.uri)) == {"_manifest.json", "_index.parquet"}


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
    refused(tmp_path, sigmoid_model, records, r"2 of 4 rows cannot be scored, .*: 2 of silo 'b', .*\(nan_prediction\)")


def test_output_that_is_not_per_row_is_refused(tmp_path):
    model = save_model(tmp_path / "model", lambda parsed: {"mean": tf.reduce_mean(parsed["x"])})
    refused(tmp_path, model, [example(1.0, "a")], r"output 'mean' .*shape \[\]")


@pytest.mark.parametrize(
    ("properties", "match"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"output_format": "csv"}, "output_format is 'csv'"),
        ({"silo_key": ""}, "silo_key is empty"),
        ({"splits": "eval"}, "splits is 'eval'; give a list of names"),
        ({"model_options": '{"type": "ModelOptions", "cores": 2}'}, "model_options: ModelOptions has no cores"),
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


@pytest.mark.parametrize("output_format", ["parquet", "tf_example"])
def test_full_disk_leaves_no_manifest(tmp_path, output_format):
    waves = tf.range(1.0, 65.0)
    model = save_model(tmp_path / "model", lambda parsed: {"waves": tf.sin(parsed["x"][:, tf.newaxis] * waves)})
    records = [example(i / 7.0, "a") for i in range(2000)]
    examples = examples_artifact(tmp_path / "examples", {"eval/x": records})
    with file_size_limit(100_000), pytest.raises(Exception, match="File too large"):
        run(model, [examples], tmp_path / "out", output_format=output_format)
    with pytest.raises(ValueError, match="did not finish"):
        inference_results.read_manifest(str(tmp_path / "out"))
