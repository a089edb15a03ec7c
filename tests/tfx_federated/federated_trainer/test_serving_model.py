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
