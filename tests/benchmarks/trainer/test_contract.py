import numpy as np

from benchmarks.trainer import contract


def test_a_workload_that_is_written_is_read_unchanged(small_workload, tmp_path):
    small_workload.write(tmp_path / "workload")

    read = contract.Workload.read(tmp_path / "workload")

    assert (read.name, read.batch_size, read.learning_rate, read.seed) == ("small", 2, 0.1, 1)
    for name in ("features", "labels", "counts", "order"):
        np.testing.assert_array_equal(getattr(read, name), getattr(small_workload, name))
    for values, expected in zip(read.weights, small_workload.weights, strict=True):
        np.testing.assert_array_equal(values, expected)
    assert read.folder == tmp_path / "workload"


def test_a_result_that_is_written_is_read_unchanged(tmp_path):
    result = contract.Result([np.ones((2, 1), np.float32), np.zeros(1, np.float32)], [0.5, 0.25], {"numpy": "2"})
    result.write(tmp_path)

    read = contract.Result.read(tmp_path)

    assert (read.seconds, read.versions) == ([0.5, 0.25], {"numpy": "2"})
    np.testing.assert_array_equal(read.weights[0], [[1], [1]])


def test_the_parts_and_the_batches_cover_every_row_once(small_workload):
    assert small_workload.parts == [slice(0, 3), slice(3, 5), slice(5, 6)]
    rows = np.arange(5)
    assert [list(rows[batch]) for batch in small_workload.batches(5)] == [[0, 1], [2, 3], [4]]
