import pyarrow as pa
import pytest

from tfx_federated.fairness_evaluator.checked_examples import EvaluationInputError, check_rows, clean_error
from tfx_federated.silo_key import MalformedSiloKeyError

BYTES = pa.list_(pa.large_binary())


def batch(silos, labels, silo_type=BYTES, label_type=None):
    label_type = label_type or pa.list_(pa.int64())
    return pa.RecordBatch.from_arrays([pa.array(silos, silo_type), pa.array(labels, label_type)], ["silo", "label"])


def check(rows):
    return check_rows(rows, "silo", "label")


def test_good_rows_pass_unchanged():
    rows = batch([[b"a"], [b"a"], None], [[0], [1], [1]])
    assert check(rows).equals(rows)
    numbered = batch([[1], [], None], [[0.5], [1], [1]], pa.list_(pa.int64()), pa.list_(pa.float32()))
    assert check(numbered).equals(numbered)


def test_an_empty_silo_is_no_silo():
    assert check(batch([[b"a"], [b""], []], [[0]] * 3)).column(0).to_pylist() == [[b"a"], None, []]


@pytest.mark.parametrize(
    ("silos", "silo_type", "message"),
    [
        ([[b"secret-a", b"secret-b"]], BYTES, "2 values in one row"),
        ([[b"secret\xff"]], BYTES, "not UTF-8"),
        ([[1.5]], pa.list_(pa.float32()), "is a float"),
    ],
)
def test_a_malformed_silo_is_refused_without_showing_it(silos, silo_type, message):
    with pytest.raises(MalformedSiloKeyError, match=message) as caught:
        check(batch(silos, [[1]], silo_type))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "label_type", "message"),
    [
        ([[1], None, [0, 1]], None, "several values in 2 of 3 rows"),
        ([[b"yes"]] * 3, BYTES, "is text"),
        ([[1.0], [float("nan")], [0.0]], pa.list_(pa.float32()), "NaN"),
        ([None] * 3, pa.null(), "missing in 3 rows"),
    ],
)
def test_a_label_that_is_no_number_is_refused(labels, label_type, message):
    with pytest.raises(EvaluationInputError, match=message):
        check(batch([[b"a"]] * 3, labels, label_type=label_type))


def test_an_absent_label_is_refused():
    rows = pa.RecordBatch.from_arrays([pa.array([[b"a"]], BYTES)], ["silo"])
    with pytest.raises(EvaluationInputError, match="'label' is missing"):
        check(rows)


def test_errors_are_found_in_what_a_runner_makes_of_them():
    wrapped = RuntimeError("Traceback\n  File x\nmodule.EvaluationInputError: the model: no [while running 'A']\nmore")
    assert str(clean_error(wrapped)) == "the model: no"
    of_its_own_type = EvaluationInputError("the model: no [while running 'A']")
    assert str(clean_error(of_its_own_type)) == "the model: no"
    mixed = RuntimeError(
        'INVALID_ARGUMENT: Feature had wrong type, expected bytes_list, found int64_list for feature "s"'
    )
    assert '"s" is a bytes_list in some rows and a int64_list in others' in str(clean_error(mixed))
    assert clean_error(RuntimeError("disk full")) is None
