import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfx_federated.beam_batch_inferrer.inference_case import example
from tfx_federated import silo_key
from tfx_federated.beam_batch_inferrer.silo_column import NO_SILO, SiloColumnReader
from tfx_federated.example_shards import ShardError

READER = SiloColumnReader("company")


def silos_of(records):
    column = READER.read(tf.constant(records, tf.string))
    return [None if code == NO_SILO else column.ids[code] for code in column.codes]


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


@given(batches)
@settings(max_examples=150, deadline=None)
def test_agrees_row_by_row_with_silo_of_example(features):
    records = [feature_example(feature) for feature in features]
    try:
        expected = [silo_key.silo_of_example(tf.train.Example.FromString(record), "company") for record in records]
    except silo_key.MalformedSiloKeyError:
        with pytest.raises(ShardError, match="silo key 'company'"):
            silos_of(records)
    else:
        assert silos_of(records) == expected


def test_ids_are_not_repeated():
    column = READER.read(tf.constant([example(1.0, silo) for silo in ["a", "b", "a", None, ""]]))
    assert sorted(silo for silo in column.ids if silo) == ["a", "b"]
    np.testing.assert_array_equal(column.codes[3:], [NO_SILO, NO_SILO])


def test_several_values_are_refused_by_row_and_not_by_value():
    with pytest.raises(ShardError, match=r"row 1 of the batch: silo key 'company' has 2 values") as caught:
        silos_of([example(1.0, "a"), example(1.0, ["secret", "b"])])
    assert "secret" not in str(caught.value)


def test_record_that_is_no_example_is_refused_by_row():
    with pytest.raises(ShardError, match=r"row 1 of the batch is not a serialized tf\.Example") as caught:
        silos_of([example(1.0, "a"), b"\xffsecret"])
    assert "secret" not in str(caught.value)
