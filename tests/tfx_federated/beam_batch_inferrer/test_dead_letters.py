"""Rows that cannot be scored, in runs of the component."""

import numpy as np
import pytest
import tensorflow as tf
from pyarrow import dataset

from tests.tfx_federated.beam_batch_inferrer.inference_case import (
    digests,
    example,
    examples_artifact,
    expected_score,
    run,
    save_model,
)
from tfx_federated.beam_batch_inferrer import inference_results, shard_scoring
from tfx_federated.beam_batch_inferrer.layouts import LAYOUTS

FEATURES = {"x": tf.io.FixedLenFeature([], tf.float32), "n": tf.io.FixedLenFeature([], tf.string, "1")}


def row(x, silo, n=None):
    result = tf.train.Example.FromString(example(x, silo))
    if n is not None:
        result.features.feature["n"].bytes_list.value.append(n)
    return result.SerializeToString()


ROWS = [row(float(number), silo) for number, silo in enumerate(["a", "b", None, "a", "b"] * 8)]
BAD = {
    3: (b"\xffsecret", None, "unparsable"),
    8: (row(1.0, ["a", "b"]), None, "malformed_feature"),
    9: (row(None, "b"), "b", "missing_feature"),
    17: (row(1.0, "a", b"secret"), "a", "model_error"),
    18: (row(1.0, "a", b"\xff"), "a", "model_error"),
    30: (row(float("nan"), None), None, "nan_prediction"),
}
RECORDS = [BAD[place][0] if place in BAD else record for place, record in enumerate(ROWS)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that fails on an `n` that is no number."""
    uri = str(tmp_path_factory.mktemp("model"))
    return save_model(uri, lambda parsed: {"score": parsed["x"] * tf.strings.to_number(parsed["n"])}, FEATURES)


@pytest.fixture(scope="module", params=list(LAYOUTS))
def result(request, tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("bad")
    examples = examples_artifact(folder / "examples", {"eval/x-0": RECORDS[:20], "eval/x-1": RECORDS[20:]})
    share = len(BAD) / len(RECORDS)
    return run(model, [examples], folder / "out", layout=request.param, maximum_dead_letter_share=share, batch_size=16)


def place_of(letter):
    return letter["row"] + 20 * (letter["source"] == "0/Split-eval/x-1")


def test_each_bad_row_is_put_aside_with_its_reason_and_its_record(result):
    content = inference_results.read_manifest(result.uri)
    paths = [f"{result.uri}/{file['path']}" for file in content["dead_letter_files"]]
    letters = dataset.dataset(paths, format="parquet").to_table().to_pylist()
    found = {place_of(letter): (letter["record"], letter["reason"]) for letter in letters}
    assert found == {place: (record, reason) for place, (record, _, reason) in BAD.items()}
    assert len(letters) == len(BAD)
    assert not any("secret" in letter["detail"] for letter in letters)
    assert {letter["detail"] for letter in letters if letter["reason"] == "nan_prediction"} == {"output 'score' is NaN"}


def test_the_other_rows_are_scored(result):
    found = {}
    for silo in ("a", "b", None):
        for scored in inference_results.read_silo(result.uri, silo).to_pylist():
            found[place_of(scored)] = scored["score"]
    assert found == {place: float(place) for place in range(len(ROWS)) if place not in BAD}


def test_counts_are_by_silo_and_reason(result):
    content = inference_results.read_manifest(result.uri)
    assert content["rows_in"] == len(RECORDS)
    assert content["dead_letters"] == {
        "malformed_feature": 1,
        "missing_feature": 1,
        "model_error": 2,
        "nan_prediction": 1,
        "unparsable": 1,
    }
    assert {silo["silo"]: silo["dead_letters"] for silo in content["silos"]} == {
        None: {"malformed_feature": 1, "nan_prediction": 1, "unparsable": 1},
        "a": {"model_error": 2},
        "b": {"missing_feature": 1},
    }
    assert result.get_int_custom_property("dead_letters") == len(BAD)


def test_dead_letters_are_laid_out_as_the_results(result):
    content = inference_results.read_manifest(result.uri)
    found = {path for path in digests(result.uri) if path.startswith("_dead_letters/")}
    assert found == {file["path"] for file in content["dead_letter_files"]}
    folders = {path.rpartition("/")[0].removeprefix("_dead_letters").lstrip("/") for path in found}
    silos = {"silo=a", "silo=b", "silo=__HIVE_DEFAULT_PARTITION__"}
    assert folders == (silos if content["layout"] == "silo_folders" else {""})


def test_results_read_as_a_folder_have_no_dead_letter(result):
    table = dataset.dataset(result.uri, format="parquet").to_table()
    assert table.num_rows == len(RECORDS) - len(BAD)


def test_one_bad_row_fails_the_run_by_default_and_finished_shards_serve_with_a_higher_limit(
    tmp_path, model, monkeypatch
):
    examples = examples_artifact(tmp_path / "examples", {"eval/x-0": RECORDS[:5], "eval/x-1": RECORDS[5:8]})
    with pytest.raises(ValueError, match=r"1 of 8 rows cannot be scored, .*1 without a known silo \(unparsable\)"):
        run(model, [examples], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    scored = []
    monkeypatch.setattr(shard_scoring.ScoreShard, "_score", lambda self, shard, record: scored.append(shard))
    result = run(model, [examples], tmp_path / "out", maximum_dead_letter_share=0.2)
    assert scored == []
    assert inference_results.read_manifest(result.uri)["rows_scored"] == 7


def test_shard_of_bad_rows_is_given_up_where_none_is_allowed(tmp_path, sigmoid_model, monkeypatch):
    monkeypatch.setattr(shard_scoring, "_MOST_DEAD_LETTERS", 10)
    records = [example(None, "a") for _ in range(100)]
    examples = examples_artifact(tmp_path / "examples", {"eval/bad": records, "eval/good": [example(1.0, "a")]})
    message = (
        r"1 of 2 shards .* shard 0/Split-eval/bad .*16 of the first 16 rows cannot be scored \(missing_feature: 16\)"
    )
    with pytest.raises(ValueError, match=message):
        run(sigmoid_model, [examples], tmp_path / "out", batch_size=16)


@pytest.mark.parametrize("bad", [{0}, {15}, {3, 4}, set(range(16))])
def test_isolated_rows_leave_the_others_of_the_batch(tmp_path, sigmoid_model, bad):
    records = [example(None if place in bad else float(place), "a") for place in range(16)]
    examples = examples_artifact(tmp_path / "examples", {"eval/x": records})
    result = run(sigmoid_model, [examples], tmp_path / "out", maximum_dead_letter_share=1.0)
    assert inference_results.read_manifest(result.uri)["dead_letters"] == {"missing_feature": len(bad)}
    if len(bad) < 16:
        table = inference_results.read_silo(result.uri, "a")
        good = [place for place in range(16) if place not in bad]
        assert table["row"].to_pylist() == good
        np.testing.assert_allclose(table["score"], expected_score(good), rtol=1e-6)
