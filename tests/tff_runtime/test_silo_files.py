import tempfile

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tff_runtime import silo_data, silo_files
from tff_runtime.learning import silo_element

ROWS = 23


@pytest.fixture(scope="module", params=[(), (1,), (3,), (2, 2)], ids=str)
def shape(request):
    return request.param


@pytest.fixture(scope="module", params=["float32", "int64"])
def stored(request, shape, tmp_path_factory):
    """Returns an array, and a function that reads a range of its rows from a file."""
    array = np.random.default_rng(0).normal(scale=1e6, size=(ROWS, *shape)).astype(request.param)
    path = tmp_path_factory.mktemp("arrays") / "7.npy"
    np.save(path, array)
    file = silo_files.ArrayFile.of(np.load(path, mmap_mode="r"))

    @tf.function(input_signature=[tf.TensorSpec((), tf.string), *[tf.TensorSpec((), tf.int64)] * 3])
    def read(folder, start, count, total):
        return silo_files.read_rows(file, folder, start, count, total)

    return array, file, lambda start, count: read(str(path.parent), start, count, ROWS)


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(data=st.data())
def test_a_range_of_rows_is_that_of_the_array(stored, data):
    array, _, read = stored
    start = data.draw(st.integers(0, ROWS - 1))
    count = data.draw(st.integers(1, ROWS - start))
    rows = read(start, count)
    assert rows.dtype == array.dtype
    np.testing.assert_array_equal(rows, array[start : start + count])


def test_a_file_is_described_without_its_folder(stored, shape):
    array, file, _ = stored
    assert (file.name, file.dtype, file.shape) == ("7.npy", array.dtype, shape)
    assert file.row_bytes == array[0].nbytes


def test_a_range_beyond_the_file_is_an_error(stored):
    _, _, read = stored
    with pytest.raises(tf.errors.InvalidArgumentError):
        read(ROWS - 2, 3)


def test_a_client_reads_the_rows_of_its_silo_from_whatever_folder_it_is_told(make_job):
    directory = make_job({"a": 5, "b": 8, "one row": 1})
    job = directory.read_job()
    data = silo_data.SiloData(directory, job, ["x"])
    files = silo_element.RowFiles(data, "train")
    read = tf.function(files.read, input_signature=[files.specs])
    with tempfile.TemporaryDirectory() as elsewhere:
        moved = f"{elsewhere}/train"
        (directory.data / "train").rename(moved)
        for silo in job.silos["train"]:
            features, labels = read(tf.nest.map_structure(tf.convert_to_tensor, files.place(moved, silo)))
            expected_features, expected_labels = data.rows("train", silo)
            np.testing.assert_array_equal(features["x"], expected_features["x"])
            np.testing.assert_array_equal(labels, expected_labels)
