import pytest

from tests.tfx_federated.beam_batch_inferrer.inference_case import example, examples_artifact, run
from tfx_federated.beam_batch_inferrer import inference_results


@pytest.fixture(scope="module")
def result(tmp_path_factory, sigmoid_model):
    folder = tmp_path_factory.mktemp("results")
    records = [example(float(i), silo) for i, silo in enumerate(["a", None, "b", "a"])]
    shards = {"eval/x-0": records, "eval/x-1": records[:1]}
    return run(sigmoid_model, [examples_artifact(folder / "examples", shards)], folder / "out")


def test_one_silo_has_its_rows_of_all_shards(result):
    table = inference_results.read_silo(result.uri, "a")
    assert table.column_names == ["split", "source", "row", "score"]
    assert list(zip(*table.select(["source", "row"]).to_pydict().values(), strict=True)) == [
        ("0/Split-eval/x-0", 0),
        ("0/Split-eval/x-0", 3),
        ("0/Split-eval/x-1", 0),
    ]


def test_rows_without_a_silo_are_read_by_none(result):
    assert inference_results.read_silo(result.uri, None).column("row").to_pylist() == [1]


def test_unknown_silo_is_an_error(result):
    with pytest.raises(KeyError, match="no row of silo 'c'"):
        inference_results.read_silo(result.uri, "c")


def test_results_without_a_manifest_are_refused(tmp_path):
    with pytest.raises(ValueError, match="did not finish"):
        inference_results.read_manifest(str(tmp_path))
