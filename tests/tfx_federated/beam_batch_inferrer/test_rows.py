import numpy as np
import pyarrow as pa
import tensorflow as tf
from pyarrow import parquet
from tensorflow_serving.apis import prediction_log_pb2

from tfx_federated.beam_batch_inferrer.rows import OUTPUT_FORMATS, Rows

ROWS = Rows(
    split="eval",
    source="0/Split-eval/data",
    positions=np.array([4, 7]),
    serialized=np.array([b"first", b"second"], object),
    outputs={
        "score": np.array([[0.25], [0.5]], np.float32),
        "wide": np.array([[1, 2, 3], [4, 5, 6]], np.int32),
        "cube": np.arange(8.0).reshape(2, 2, 2),
        "label": np.array([b"yes", b"no"], object),
    },
)


def test_parquet_has_plain_columns_and_lists(tmp_path):
    OUTPUT_FORMATS["parquet"].write(f"{tmp_path}/part.parquet", ROWS)
    table = parquet.read_table(f"{tmp_path}/part.parquet")
    assert table.schema.field("score").type == pa.float32()
    assert table.schema.field("wide").type.value_type == pa.int32()
    common = {"split": "eval", "source": "0/Split-eval/data"}
    assert table.to_pylist() == [
        {**common, "row": 4, "score": 0.25, "wide": [1, 2, 3], "cube": [[0, 1], [2, 3]], "label": b"yes"},
        {**common, "row": 7, "score": 0.5, "wide": [4, 5, 6], "cube": [[4, 5], [6, 7]], "label": b"no"},
    ]


def test_prediction_logs_hold_the_example_and_a_batch_of_one(tmp_path):
    OUTPUT_FORMATS["tfrecord"].write(f"{tmp_path}/part.tfrecord.gz", ROWS)
    records = tf.data.TFRecordDataset(f"{tmp_path}/part.tfrecord.gz", compression_type="GZIP")
    logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log for record in records]
    assert [tf.make_ndarray(log.request.inputs["examples"]).tolist() for log in logs] == [[b"first"], [b"second"]]
    for row, log in enumerate(logs):
        assert set(log.response.outputs) == set(ROWS.outputs)
        for name, values in ROWS.outputs.items():
            np.testing.assert_array_equal(tf.make_ndarray(log.response.outputs[name]), values[row : row + 1])
