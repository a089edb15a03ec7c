"""Row ids, features passed through, and examples with predictions, in runs of the component."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from pyarrow import parquet
from tfx.types import standard_artifacts

from tests.tfx_federated.beam_batch_inferrer.inference_case import (
    example,
    examples_artifact,
    expected_score,
    parquet_artifact,
    run,
)
from tfx_federated import example_shards
from tfx_federated.beam_batch_inferrer import inference_results


def row(x, silo, **features):
    result = tf.train.Example.FromString(example(x, silo))
    for name, value in features.items():
        feature = result.features.feature[name]
        if isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.bytes_list.value.append(value.encode())
    return result.SerializeToString()


@pytest.fixture(scope="module")
def result(tmp_path_factory, sigmoid_model):
    folder = tmp_path_factory.mktemp("columns")
    shards = {
        "eval/x-0": [row(0.5, "a", id="first", size=3), row(1.5, "a", id="second")],
        "eval/x-1": [row(2.5, "a", id="third", size=4)],
    }
    examples = examples_artifact(folder / "examples", shards)
    features = '["size", "x", "company"]'
    return run(sigmoid_model, [examples], folder / "out", row_id="id", passthrough_features=features)


def test_row_ids_and_features_stand_beside_the_predictions(result):
    table = inference_results.read_silo(result.uri, "a")
    assert table.column_names == ["split", "row_id", "score", "size", "x", "company"]
    assert table.drop_columns("score").to_pylist() == [
        {"split": "eval", "row_id": "first", "size": 3, "x": 0.5, "company": "a"},
        {"split": "eval", "row_id": "second", "size": None, "x": 1.5, "company": "a"},
        {"split": "eval", "row_id": "third", "size": 4, "x": 2.5, "company": "a"},
    ]
    np.testing.assert_allclose(table["score"], expected_score([0.5, 1.5, 2.5]), rtol=1e-6)


def test_parquet_files_name_the_model(result, sigmoid_model):
    (place, _) = inference_results.silo_rows(result.uri, "a")
    metadata = parquet.read_metadata(place.uri).metadata
    assert metadata[b"tfx_federated.model_uri"] == sigmoid_model.uri.encode()


@pytest.mark.parametrize("kind", ["texts", "integers", "parquet"])
def test_rows_with_the_same_id_are_refused_with_their_shards(tmp_path, sigmoid_model, kind):
    ids = [[1, 2], [3], [2, 4, 3]]
    if kind == "parquet":
        tables = [
            pa.table({"x": pa.array([0.0] * len(part), pa.float32()), "company": ["a"] * len(part), "id": part})
            for part in ids
        ]
        examples = parquet_artifact(tmp_path / "in", {f"eval/x-{n}": table for n, table in enumerate(tables)})
    else:
        name = (lambda number: f"secret {number}") if kind == "texts" else int
        shards = {f"eval/x-{n}": [row(0.0, "a", id=name(i)) for i in part] for n, part in enumerate(ids)}
        examples = examples_artifact(tmp_path / "in", shards)
    message = "2 values of feature 'id' stand in more than one row, in shards 0/Split-eval/x-0, .*x-1, .*x-2;"
    with pytest.raises(ValueError, match=message) as caught:
        run(sigmoid_model, [examples], tmp_path / "out", row_id="id")
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_row_without_its_id_is_a_dead_letter(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "in", {"eval/x": [row(0.0, "a", id="1"), row(0.0, "b")]})
    with pytest.raises(ValueError, match=r"1 of silo 'b', .*\(malformed_feature\)"):
        run(sigmoid_model, [examples], tmp_path / "out", row_id="id")


@pytest.mark.parametrize("properties", [{"row_id": "nowhere"}, {"passthrough_features": '["x", "nowhere"]'}])
def test_feature_that_no_row_has_is_refused(tmp_path, sigmoid_model, properties):
    examples = examples_artifact(tmp_path / "in", {"eval/empty": [], "eval/x": [example(0.0, "a")]})
    with pytest.raises(ValueError, match=r"feature 'nowhere', .* is in none of the first 1 rows"):
        run(sigmoid_model, [examples], tmp_path / "out", **properties)


def test_feature_with_the_name_of_an_output_is_refused(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "in", {"eval/x": [row(0.0, "a", score=1)]})
    with pytest.raises(ValueError, match=r"output 'score' .* has the name of another column"):
        run(sigmoid_model, [examples], tmp_path / "out", passthrough_features='["score"]')


@pytest.mark.parametrize("output_format", ["parquet", "prediction_log"])
def test_output_examples_are_the_examples_with_their_predictions(tmp_path, sigmoid_model, output_format):
    shards = {
        "train/x-0.gz": [example(float(x), silo) for x, silo in enumerate("abab")],
        "eval/x-1": [b"\xff", example(7.0, "c")],
        "eval/x-2": [],
    }
    output = standard_artifacts.Examples()
    output.uri = str(tmp_path / "with_predictions")
    run(
        sigmoid_model,
        [examples_artifact(tmp_path / "examples", shards)],
        tmp_path / "out",
        output_examples=output,
        write_examples=1,
        maximum_dead_letter_share=0.2,
        output_format=output_format,
    )
    rows = {"train": [], "eval": []}
    for shard in example_shards.find_shards([output], ["train", "eval"]):
        for batch in example_shards.read_batches(shard, 10):
            for record in batch.numpy():
                features = tf.train.Example.FromString(record).features.feature
                assert set(features) == {"x", "company", "score"}
                (x,), (score,) = features["x"].float_list.value, features["score"].float_list.value
                assert score == pytest.approx(expected_score(x), rel=1e-6)
                rows[shard.split].append((x, features["company"].bytes_list.value[0]))
    assert rows == {"train": [(0.0, b"a"), (1.0, b"b"), (2.0, b"a"), (3.0, b"b")], "eval": [(7.0, b"c")]}
