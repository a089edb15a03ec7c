import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from tfx_federated.beam_batch_inferrer.parquet_columns import ParquetFeatures, to_tensors
from tfx_federated.beam_batch_inferrer.row_errors import MALFORMED_FEATURE, MISSING_FEATURE, FaultyRowsError
from tfx_federated.example_shards import ShardError


def batch(**columns):
    return pa.RecordBatch.from_pydict(columns)


def tensor_of(column, spec):
    return to_tensors(batch(x=column), {"x": spec})["x"].numpy().tolist()


@pytest.mark.parametrize(
    ("column", "spec", "expected"),
    [
        (pa.array([1.5, 2.5]), tf.TensorSpec([None], tf.float32), [1.5, 2.5]),
        (pa.array([1, 2], pa.int32()), tf.TensorSpec([None, 1], tf.int64), [[1], [2]]),
        (pa.array([1, 2]), tf.TensorSpec([None], tf.float32), [1.0, 2.0]),
        (pa.array(["ä", "b", "ä"]), tf.TensorSpec([None], tf.string), ["ä".encode(), b"b", "ä".encode()]),
        (pa.array(["a"]).dictionary_encode(), tf.TensorSpec([None, 1], tf.string), [[b"a"]]),
        (pa.array([[1.0, 2.0], [3.0, 4.0]]), tf.TensorSpec([None, 2], tf.float32), [[1.0, 2.0], [3.0, 4.0]]),
        (pa.array([True, False]), tf.TensorSpec([None], tf.bool), [True, False]),
    ],
)
def test_columns_become_tensors_of_the_signatures_type_and_shape(column, spec, expected):
    assert tensor_of(column, spec) == expected


def test_rows_are_taken_from_a_slice_of_a_batch():
    rows = batch(x=pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).slice(1, 1)
    assert to_tensors(rows, {"x": tf.TensorSpec([None, 2], tf.float32)})["x"].numpy().tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize(
    "column", [pa.array(["a", None, "b"]), pa.array([["a"], [], ["b"]]), pa.array([["a"], None, ["b"]])]
)
def test_values_of_optional_features_come_with_their_numbers(column):
    specs = {"x": tf.TensorSpec([None], tf.string), "x_row_lengths": tf.TensorSpec([None], tf.int64)}
    tensors = to_tensors(batch(x=column), specs)
    assert tensors["x"].numpy().tolist() == [b"a", b"b"]
    assert tensors["x_row_lengths"].numpy().tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("column", "spec", "bad"),
    [
        (pa.array([1.0, None, None]), tf.TensorSpec([None], tf.float32), [1, 2]),
        (pa.array([[1.0, 2.0], [1.0], None]), tf.TensorSpec([None, 2], tf.float32), [1, 2]),
    ],
)
def test_rows_without_the_values_are_at_fault(column, spec, bad):
    with pytest.raises(FaultyRowsError) as caught:
        tensor_of(column, spec)
    assert {row: fault.reason for row, fault in caught.value.faults.items()} == dict.fromkeys(bad, MISSING_FEATURE)


@pytest.mark.parametrize(
    ("column", "spec", "message"),
    [
        (pa.array(["a"]), tf.TensorSpec([None], tf.float32), "column 'x' is string, and .* takes float32"),
        (pa.array([1.0]), tf.TensorSpec([None], tf.string), "column 'x' is double, and .* takes texts"),
        (pa.array([300]), tf.TensorSpec([None], tf.int8), "column 'x' is int64, and .* takes int8"),
        (pa.array([[None]], pa.list_(pa.float32())), tf.TensorSpec([None, 1], tf.float32), "nulls inside its lists"),
    ],
)
def test_columns_of_another_type_are_refused(column, spec, message):
    with pytest.raises(ShardError, match=message):
        tensor_of(column, spec)


def test_missing_column_is_named():
    with pytest.raises(ShardError, match=r"no column 'y'; there are \['x'\]"):
        to_tensors(batch(x=[1.0]), {"y": tf.TensorSpec([None], tf.float32)})


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", "", None, "ä"]), ["a", None, None, "ä"]),
        (pa.array([7, None, -1]), ["7", None, "-1"]),
        (pa.array([b"a", b"b"]), ["a", "b"]),
        (pa.nulls(2), [None, None]),
        (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
    ],
)
def test_silos_are_texts(column, expected):
    assert ParquetFeatures("x", [], []).read(batch(x=column)).silos.to_pylist() == expected


def test_silos_that_are_no_text_are_refused():
    with pytest.raises(ShardError, match="silo key 'x' is double"):
        ParquetFeatures("x", [], []).read(batch(x=[1.0]))
    with pytest.raises(FaultyRowsError) as caught:
        ParquetFeatures("x", [], []).read(batch(x=[b"a", b"\xff", None]))
    assert {row: fault.reason for row, fault in caught.value.faults.items()} == {1: MALFORMED_FEATURE}


def test_other_columns_are_passed_through_and_only_needed_ones_read():
    features = ParquetFeatures("silo", ["y"], ["x", "x_row_lengths"])
    assert {"silo", "x", "y"} <= set(features.columns)
    named = features.read(batch(silo=["a"], x=[1.0], y=[np.int16(3)]))
    assert named.columns["y"].to_pylist() == [3]
