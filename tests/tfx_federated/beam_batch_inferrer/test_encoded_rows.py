import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tfx_federated.beam_batch_inferrer import encoded_rows
from tfx_federated.beam_batch_inferrer.row_scoring import SHAPE, arrow_column

OUTPUTS = {
    "score": np.array([[0.25], [0.5]], np.float32),
    "plain": np.array([1.5, -2.5]),
    "wide": np.array([[1, 2, 3], [4, 5, 6]], np.int32),
    "cube": np.arange(8.0).reshape(2, 2, 2),
    "label": np.array([b"yes", b""], object),
    "flag": np.array([True, False]),
    "small": np.array([[-3], [7]], np.int8),
    "large": np.array([2**63 - 1, 0], np.uint64),
}


def table(**others):
    fields, columns = [], []
    for name, values in OUTPUTS.items():
        columns.append(arrow_column(values))
        fields.append(pa.field(name, columns[-1].type, metadata={SHAPE: str(list(values.shape[1:]))}))
    result = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    for name, column in others.items():
        result = result.append_column(name, column)
    return result


def test_prediction_logs_hold_the_example_and_a_batch_of_one():
    rows = table(record=pa.array([b"first", b"second"]))
    for place in (0, 1):
        encoded = encoded_rows.as_prediction_logs(rows, list(OUTPUTS))[place].numpy()
        log = prediction_log_pb2.PredictionLog.FromString(encoded).predict_log
        assert log.request.model_spec.signature_name == log.response.model_spec.signature_name == "serving_default"
        assert tf.make_ndarray(log.request.inputs["examples"]).tolist() == [[b"first"], [b"second"]][place]
        assert set(log.response.outputs) == set(OUTPUTS)
        for name, values in OUTPUTS.items():
            decoded = tf.make_ndarray(log.response.outputs[name])
            np.testing.assert_array_equal(decoded, values[place : place + 1])
            assert decoded.dtype == values.dtype


def test_examples_hold_columns_as_features():
    strings = pa.array(["Köln", None])
    lists = pa.array([[1, 2, 3], []])
    rows = table(city=strings, silo=pa.array(["a", "b"]).dictionary_encode(), counts=lists)
    first, second = (
        tf.train.Example.FromString(record.numpy()).features.feature
        for record in encoded_rows.as_examples(rows, [*OUTPUTS, "city", "silo", "counts"])
    )
    assert first["score"].float_list.value == [0.25]
    assert first["wide"].int64_list.value == [1, 2, 3]
    assert second["cube"].float_list.value == [4.0, 5.0, 6.0, 7.0]
    assert second["label"].bytes_list.value == [b""]
    assert first["flag"].int64_list.value == [1]
    assert first["city"].bytes_list.value == ["Köln".encode()]
    assert [row["silo"].bytes_list.value[0] for row in (first, second)] == [b"a", b"b"]
    assert first["counts"].int64_list.value == [1, 2, 3]
    assert "city" not in second
    assert "counts" not in second


def test_slices_of_a_table_are_encoded_as_they_are():
    rows = pa.table({"n": pa.array([[1], [2, 3], [4, 5]])}).slice(1)
    decoded = [
        tf.train.Example.FromString(record.numpy()).features.feature["n"].int64_list.value
        for record in encoded_rows.as_examples(rows, ["n"])
    ]
    assert decoded == [[2, 3], [4, 5]]


def test_half_precision_is_written_in_single():
    rows = pa.Table.from_arrays(
        [pa.array(np.array([0.5], np.float16)), pa.array([b""])],
        schema=pa.schema([pa.field("h", pa.float16(), metadata={SHAPE: "[]"}), pa.field("record", pa.binary())]),
    )
    log = prediction_log_pb2.PredictionLog.FromString(encoded_rows.as_prediction_logs(rows, ["h"])[0].numpy())
    assert tf.make_ndarray(log.predict_log.response.outputs["h"]) == pytest.approx([0.5])
