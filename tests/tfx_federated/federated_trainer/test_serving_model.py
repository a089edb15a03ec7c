import pytest
import tensorflow as tf

from tfx_federated.federated_trainer import serving_model


def sparse(rows, dtype):
    return tf.RaggedTensor.from_row_lengths(
        tf.constant([value for row in rows for value in row], dtype), [len(row) for row in rows]
    ).to_sparse()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (tf.constant(["a", "", "b"]), ["a", "", "b"]),
        (tf.constant([["a"], [""], ["b"]]), ["a", "", "b"]),
        (tf.constant([7, -1]), ["7", "-1"]),
        (sparse([["a"], [], ["b"]], tf.string), ["a", "", "b"]),
        (sparse([[3], [], [12]], tf.int64), ["3", "", "12"]),
        (sparse([[], []], tf.string), ["", ""]),
    ],
)
def test_the_silo_is_read_as_the_partitioner_reads_it(values, expected):
    read = serving_model.SiloFeature("company", None)({"company": values})
    assert [silo.decode() for silo in read.numpy()] == expected
    assigned = serving_model.SiloFeature("company", "nobody's")({"company": values})
    assert [silo.decode() for silo in assigned.numpy()] == [silo or "nobody's" for silo in expected]


SPECS = {
    "x": tf.io.FixedLenFeature((), tf.float32),
    "pair": tf.io.FixedLenFeature((2,), tf.int64),
    "city": tf.io.VarLenFeature(tf.string),
    "label": tf.io.FixedLenFeature((), tf.float32),
}


@pytest.fixture
def inner(tmp_path):
    """A model of the TFF side that takes every kind of raw feature."""

    def predict(features):
        city = tf.strings.length(tf.sparse.to_dense(features["city"], ""))
        return features["x"] + tf.cast(
            tf.reduce_sum(features["pair"], 1) + tf.reduce_sum(tf.cast(city, tf.int64), 1), tf.float32
        )

    specs = {
        "x": tf.TensorSpec([None], tf.float32),
        "pair": tf.TensorSpec([None, 2], tf.int64),
        "city": tf.SparseTensorSpec([None, None], tf.string),
    }
    module = tf.Module()
    module.predict = tf.function(predict, input_signature=[specs])
    tf.saved_model.save(module, str(tmp_path / "inner"))
    return tmp_path / "inner"


def test_raw_features_and_examples_have_the_same_predictions(tmp_path, inner):
    serving_model.save(str(tmp_path / "model"), inner, serving_model.ModelFeatures(SPECS, "label"))
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    rows = [(0.5, [1, 2], ["Oslo"]), (1.5, [3, 4], []), (2.5, [5, 6], ["Bergen"])]
    examples = []
    for x, pair, city in rows:
        example = tf.train.Example()
        example.features.feature["x"].float_list.value.append(x)
        example.features.feature["pair"].int64_list.value.extend(pair)
        example.features.feature["city"].bytes_list.value.extend(name.encode() for name in city)
        examples.append(example.SerializeToString())
    of_examples = signatures["serving_default"](examples=tf.constant(examples))["predictions"]
    of_features = signatures["features"](
        x=tf.constant([x for x, _, _ in rows]),
        pair=tf.constant([pair for _, pair, _ in rows], tf.int64),
        city=tf.constant(["Oslo", "Bergen"]),
        city_row_lengths=tf.constant([1, 0, 1], tf.int64),
    )["predictions"]
    assert of_features.numpy().tolist() == of_examples.numpy().tolist() == [7.5, 8.5, 19.5]


@pytest.mark.parametrize("name", ["two words", "pair:x"])
def test_features_whose_names_no_input_can_have_are_read_from_examples_alone(name):
    features = serving_model.ModelFeatures({name: tf.io.FixedLenFeature((), tf.float32)}, "label")
    assert features.tensor_specs() is None
