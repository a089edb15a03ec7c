import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfx_federated.beam_batch_inferrer.inference_case import example
from tfx_federated import silo_key
from tfx_federated.beam_batch_inferrer.example_features import ExampleFeatures, types_of
from tfx_federated.beam_batch_inferrer.row_errors import MALFORMED_FEATURE, UNPARSABLE, FaultyRowsError

FEATURES = ExampleFeatures("company", {})


def silos_of(records, features=FEATURES):
    return features.read(tf.constant(records, tf.string)).silos.to_pylist()


def faults_of(records, features=FEATURES):
    with pytest.raises(FaultyRowsError) as caught:
        features.read(tf.constant(records, tf.string))
    return caught.value.faults


def feature_example(feature):
    result = tf.train.Example()
    result.features.feature["x"].float_list.value.append(1.0)
    if feature is not None:
        result.features.feature["company"].CopyFrom(feature)
    return result.SerializeToString()


bytes_features = st.lists(st.one_of(st.text(max_size=3).map(str.encode), st.binary(max_size=2)), max_size=2).map(
    lambda values: tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
)
single_bytes_features = st.sampled_from(["", "a", "b", "ä€"]).map(
    lambda value: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
)
int_features = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2).map(
    lambda values: tf.train.Feature(int64_list=tf.train.Int64List(value=values))
)
single_int_features = st.integers(-(2**63), 2**63 - 1).map(
    lambda value: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
)
float_features = st.lists(st.floats(width=32), max_size=1).map(
    lambda values: tf.train.Feature(float_list=tf.train.FloatList(value=values))
)
absent_features = st.sampled_from([None, tf.train.Feature()])
batches = st.one_of(
    st.lists(st.one_of(absent_features, single_bytes_features), min_size=1, max_size=6),
    st.lists(st.one_of(absent_features, single_int_features), min_size=1, max_size=6),
    st.lists(
        st.one_of(absent_features, bytes_features, int_features, float_features, single_bytes_features),
        min_size=1,
        max_size=4,
    ),
)


def is_malformed(record):
    try:
        silo_key.silo_of_example(tf.train.Example.FromString(record), "company")
    except silo_key.MalformedSiloKeyError:
        return True
    return False


@given(batches)
@settings(max_examples=150, deadline=None)
def test_agrees_row_by_row_with_silo_of_example(features):
    records = [feature_example(feature) for feature in features]
    malformed = [row for row, record in enumerate(records) if is_malformed(record)]
    if malformed:
        assert sorted(faults_of(records)) == malformed
    else:
        assert silos_of(records) == [
            silo_key.silo_of_example(tf.train.Example.FromString(record), "company") for record in records
        ]


def test_faults_are_told_without_a_value():
    faults = faults_of([example(1.0, "a"), example(1.0, ["secret", "b"]), b"\xffsecret"])
    assert {row: fault.reason for row, fault in faults.items()} == {1: MALFORMED_FEATURE, 2: UNPARSABLE}
    assert "silo key 'company' has 2 values" in faults[1].detail
    assert not any("secret" in fault.detail for fault in faults.values())


def row(**features):
    result = tf.train.Example()
    for name, values in features.items():
        feature = result.features.feature[name]
        for value in values:
            if isinstance(value, bytes):
                feature.bytes_list.value.append(value)
            elif isinstance(value, int):
                feature.int64_list.value.append(value)
            else:
                feature.float_list.value.append(value)
    return result.SerializeToString()


NAMED = ExampleFeatures("company", {"city": tf.string, "size": tf.int64, "x": tf.float32})


def test_other_features_are_columns_with_nulls():
    columns = NAMED.read(
        tf.constant([row(company=[b"a"], city=["Köln".encode()], size=[3], x=[0.5]), row(company=[b"b"])])
    ).columns
    assert {name: (column.type, column.to_pylist()) for name, column in columns.items()} == {
        "city": (pa.string(), ["Köln", None]),
        "size": (pa.int64(), [3, None]),
        "x": (pa.float32(), [0.5, None]),
    }


@pytest.mark.parametrize(
    ("features", "detail"),
    [
        ({"size": [1, 2]}, "feature 'size' has 2 values; expected one"),
        ({"city": [7]}, "feature 'city' is not text, as it is in the first rows"),
        ({"city": [b"\xff"]}, "feature 'city' is not UTF-8 text"),
    ],
)
def test_other_features_that_are_malformed_are_named(features, detail):
    (fault,) = faults_of([row(**features)], NAMED).values()
    assert (fault.reason, fault.detail) == (MALFORMED_FEATURE, detail)


def test_silo_passed_through_is_a_column_too():
    features = ExampleFeatures("company", {"company": tf.string})
    assert features.read(tf.constant([example(1.0, "a")])).columns["company"].to_pylist() == ["a"]


def test_texts_and_integers_may_both_name_silos():
    records = [example(1.0, "a"), example(1.0, 7), example(1.0)]
    assert silos_of(records) == ["a", "7", None]
    assert silos_of(records[1:2]) == ["7"]
    assert silos_of(records[:1]) == ["a"]


def test_types_are_those_of_the_first_row_that_has_the_feature():
    records = [b"\xff", row(x=[]), row(x=[0.5], size=[1]), row(x=[1], city=[b"a"])]
    assert types_of(records, ["x", "size", "city", "nowhere"]) == {"x": tf.float32, "size": tf.int64, "city": tf.string}
