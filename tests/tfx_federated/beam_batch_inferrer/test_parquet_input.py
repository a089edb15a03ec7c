"""Parquet examples, in runs of the component."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from tests.tfx_federated.beam_batch_inferrer.inference_case import (
    example,
    examples_artifact,
    expected_score,
    parquet_artifact,
    run,
    save_model,
)
from tfx_federated.beam_batch_inferrer import inference_results, parquet_shards

SILOS = ["a", "b", None, "a", ""] * 10
X = np.arange(50, dtype=np.float32) / 8


def rows(start=0, stop=50):
    return pa.table({"x": X[start:stop], "company": SILOS[start:stop], "city": [f"c{i}" for i in range(start, stop)]})


def all_rows(result):
    tables = [inference_results.read_silo(result.uri, silo) for silo in ("a", "b", None)]
    return sorted(pa.concat_tables(tables).to_pylist(), key=lambda row: (row["source"], row["row"]))


@pytest.fixture(scope="module")
def result(tmp_path_factory, sigmoid_model):
    folder = tmp_path_factory.mktemp("parquet")
    tables = {"train/x.parquet": rows(0, 30), "eval/x.parquet": rows(30, 50)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_shards, "_ROWS_IN_SHARD", 8)
        examples = parquet_artifact(folder / "examples", tables, row_group_size=4)
        return run(
            sigmoid_model, [examples], folder / "out", passthrough_features='["city"]', batch_size=3, batch_bytes=30
        )


def test_every_row_is_scored_and_found_again(result):
    expected = [
        {"split": split, "source": f"0/Split-{split}/x.parquet", "row": row}
        for split, count in (("eval", 20), ("train", 30))
        for row in range(count)
    ]
    found = all_rows(result)
    assert [{name: row[name] for name in ("split", "source", "row")} for row in found] == expected
    x = np.concatenate([X[30:], X[:30]])
    np.testing.assert_allclose([row["score"] for row in found], expected_score(x), rtol=1e-6)
    assert [row["city"] for row in found] == [f"c{i}" for i in [*range(30, 50), *range(30)]]


def test_row_groups_are_spread_over_shards(result):
    shards = inference_results.read_manifest(result.uri)["shards"]
    assert [shard["rows"] for shard in shards] == [8, 8, 8, 6, 8, 8, 4]


def test_scores_are_those_of_the_same_rows_as_examples(tmp_path, sigmoid_model):
    records = [example(float(x), silo) for x, silo in zip(X, SILOS, strict=True)]
    of_examples = run(
        sigmoid_model, [examples_artifact(tmp_path / "examples", {"eval/x": records})], tmp_path / "of_examples"
    )
    of_parquet = run(
        sigmoid_model, [parquet_artifact(tmp_path / "parquet", {"eval/x": rows()})], tmp_path / "of_parquet"
    )
    assert all_rows(of_parquet) == all_rows(of_examples)


def test_null_of_a_feature_is_a_dead_letter(tmp_path, sigmoid_model):
    table = pa.table({"x": pa.array([1.0, None], pa.float32()), "company": ["a", "b"]})
    examples = parquet_artifact(tmp_path / "examples", {"eval/x.parquet": table})
    result = run(sigmoid_model, [examples], tmp_path / "out", maximum_dead_letter_share=0.5)
    assert inference_results.read_manifest(result.uri)["dead_letters"] == {"missing_feature": 1}
    assert inference_results.read_silo(result.uri, "a")["row"].to_pylist() == [0]


def test_column_that_the_model_takes_and_the_file_lacks_is_named(tmp_path, sigmoid_model):
    examples = parquet_artifact(tmp_path / "examples", {"eval/x.parquet": pa.table({"company": ["a"]})})
    with pytest.raises(ValueError, match=r"shard 0/Split-eval/x\.parquet .*there is no column 'x'"):
        run(sigmoid_model, [examples], tmp_path / "out")


def test_damaged_file_is_named_and_the_other_shards_are_scored(tmp_path, sigmoid_model):
    examples = parquet_artifact(tmp_path / "examples", {"eval/a.parquet": rows(), "eval/b.parquet": rows()})
    path = tmp_path / "examples" / "Split-eval" / "a.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"1 of 2 shards .* shard 0/Split-eval/a\.parquet .* is damaged"):
        run(sigmoid_model, [examples], tmp_path / "out")
    (done,) = (tmp_path / ".checkpoints").glob("*/results/silo=a/*")
    assert done.name.startswith("part-00001")


def test_file_without_rows_is_scored(tmp_path, sigmoid_model):
    examples = parquet_artifact(tmp_path / "examples", {"eval/x.parquet": rows(0, 0)})
    result = run(sigmoid_model, [examples], tmp_path / "out")
    assert inference_results.read_manifest(result.uri)["rows_in"] == 0


def test_model_on_examples_alone_is_refused(tmp_path):
    function = tf.function(lambda x: {"n": tf.strings.length(x)}, [tf.TensorSpec([None], tf.string)])
    module = tf.Module()
    module.serve = function
    tf.saved_model.save(module, f"{tmp_path}/model/Format-Serving", signatures={"serving_default": function})
    model = save_model(str(tmp_path / "other"), lambda parsed: parsed)
    model.uri = str(tmp_path / "model")
    examples = parquet_artifact(tmp_path / "examples", {"eval/x.parquet": rows()})
    with pytest.raises(ValueError, match="export a signature 'features'"):
        run(model, [examples], tmp_path / "out")


def test_payloads_are_not_mixed(tmp_path, sigmoid_model):
    examples = [
        parquet_artifact(tmp_path / "parquet", {"eval/x.parquet": rows()}),
        examples_artifact(tmp_path / "examples", {"eval/x": [example(1.0, "a")]}),
    ]
    with pytest.raises(ValueError, match=r"different payloads \(FORMAT_PARQUET, FORMAT_TF_EXAMPLE\)"):
        run(sigmoid_model, examples, tmp_path / "out")


@pytest.mark.parametrize("properties", [{"write_examples": 1}, {"output_format": "prediction_log"}])
def test_outputs_that_need_examples_are_refused(tmp_path, sigmoid_model, properties):
    examples = parquet_artifact(tmp_path / "examples", {"eval/x.parquet": rows()})
    with pytest.raises(ValueError, match="the examples are Parquet"):
        run(sigmoid_model, [examples], tmp_path / "out", **properties)


def test_split_that_is_missing_is_named(tmp_path, sigmoid_model):
    examples = parquet_artifact(tmp_path / "examples", {"eval/x.parquet": rows()})
    with pytest.raises(ValueError, match=r"no Examples artifact has a split 'test'; there are \['eval'\]"):
        run(sigmoid_model, [examples], tmp_path / "out", splits='["test"]')
