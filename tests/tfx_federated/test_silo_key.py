import hypothesis
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tfx_federated import silo_key


def example(**lists):
    result = tf.train.Example()
    for kind, values in lists.items():
        getattr(result.features.feature["company"], kind).value.extend(values)
    return result


@hypothesis.given(st.text(min_size=1))
def test_any_text_is_a_silo(text):
    assert silo_key.silo_of_example(example(bytes_list=[text.encode()]), "company") == text


@pytest.mark.parametrize(("value", "silo"), [(7, "7"), (0, "0"), (-3, "-3")])
def test_an_integer_is_named_by_its_decimal_digits(value, silo):
    assert silo_key.silo_of_example(example(int64_list=[value]), "company") == silo


def test_an_absent_feature_is_no_silo():
    assert silo_key.silo_of_example(tf.train.Example(), "company") is None


def test_looking_for_the_silo_does_not_add_the_feature():
    row = tf.train.Example()
    silo_key.silo_of_example(row, "company")
    assert not row.features.feature


def test_a_feature_without_kind_is_no_silo():
    row = tf.train.Example()
    row.features.feature["company"].SetInParent()
    assert silo_key.silo_of_example(row, "company") is None


@pytest.mark.parametrize("values", [[], [b""]])
def test_no_value_and_the_empty_string_are_no_silo(values):
    assert silo_key.silo_of_example(example(bytes_list=values), "company") is None


def test_an_empty_integer_list_is_no_silo():
    row = tf.train.Example()
    row.features.feature["company"].int64_list.SetInParent()
    assert silo_key.silo_of_example(row, "company") is None


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (example(bytes_list=[b"a", b"b"]), "2 values"),
        (example(int64_list=[1, 2, 3]), "3 values"),
        (example(float_list=[1.0]), "float"),
        (example(bytes_list=[b"\xff\xfe"]), "UTF-8"),
    ],
)
def test_a_malformed_key_is_refused_with_its_name(row, complaint):
    with pytest.raises(silo_key.MalformedSiloKeyError, match=f"'company'.*{complaint}"):
        silo_key.silo_of_example(row, "company")
