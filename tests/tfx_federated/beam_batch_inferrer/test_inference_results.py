import pyarrow as pa
import pytest
import tensorflow as tf
from pyarrow import parquet

from tests.tfx_federated.beam_batch_inferrer.inference_case import example, examples_artifact, run
from tfx_federated.beam_batch_inferrer import inference_results
from tfx_federated.beam_batch_inferrer.layouts import LAYOUTS


@pytest.fixture(scope="module", params=list(LAYOUTS))
def result(request, tmp_path_factory, sigmoid_model):
    folder = tmp_path_factory.mktemp("results")
    records = [example(float(i), silo) for i, silo in enumerate(["a", None, "b", "a"])]
    shards = {"eval/x-0": records, "eval/x-1": records[:1]}
    return run(sigmoid_model, [examples_artifact(folder / "examples", shards)], folder / "out", layout=request.param)


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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_tfrecords_are_found_by_the_index(tmp_path, sigmoid_model, layout):
    records = [example(float(i), silo) for i, silo in enumerate("baab")]
    examples = examples_artifact(tmp_path / "examples", {"eval/x": records})
    result = run(sigmoid_model, [examples], tmp_path / "out", layout=layout, output_format="tf_example")
    (place,) = inference_results.silo_rows(result.uri, "b")
    found = tf.data.TFRecordDataset(place.uri, "GZIP").skip(place.first_row).take(place.rows)
    features = [tf.train.Example.FromString(record.numpy()).features.feature for record in found]
    assert [row["row"].int64_list.value[0] for row in features] == [0, 3]
    with pytest.raises(ValueError, match="are tf_example; read the files"):
        inference_results.read_silo(result.uri, "b")


@pytest.mark.parametrize(("first_row", "rows"), [(0, 10), (3, 4), (4, 2), (9, 1)])
def test_rows_are_cut_out_of_row_groups(tmp_path, first_row, rows):
    path = str(tmp_path / "part.parquet")
    parquet.write_table(pa.table({"row": range(10)}), path, row_group_size=2)
    table = inference_results._read_rows(inference_results.FileRows(path, first_row, rows))
    assert table.column("row").to_pylist() == list(range(first_row, first_row + rows))
