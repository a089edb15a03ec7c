"""Reading a silo's rows inside a TensorFlow graph, from the arrays of a job, by path.

A TFF worker that reads its silos' rows itself needs nothing of them sent to it. The arrays hold the rows of many silos,
one after the other; only those of the one silo are read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class ArrayFile(NamedTuple):
    """One `.npy` file.

    Attributes:
        name: Name of the file in its folder.
        dtype: Type of its values.
        shape: Shape of one row.
        header: Bytes before the first row.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    header: int

    @classmethod
    def of(cls, array: np.memmap) -> ArrayFile:
        """Describes the file that a memory map was opened from."""
        assert array.filename is not None
        return cls(str(array.filename).rsplit("/", 1)[-1], array.dtype, array.shape[1:], array.offset)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))


def read_rows(file: ArrayFile, folder: tf.Tensor, start: tf.Tensor, count: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    """Returns the rows `start <= row < start + count` of a file.

    Args:
        file: The file.
        folder: The folder that it lies in, a scalar string.
        start: The first row, int64.
        count: Number of rows, int64, at least 1.
        total: Number of rows in the whole file, int64.

    Returns:
        A tensor of shape `(count, *shape)`.
    """
    path = tf.strings.join([folder, "/", file.name])
    # The rows of the silo are one record between a header and a footer.
    record = tf.data.FixedLengthRecordDataset(
        path,
        record_bytes=count * file.row_bytes,
        header_bytes=file.header + start * file.row_bytes,
        footer_bytes=(total - start - count) * file.row_bytes,
    ).get_single_element()
    values = tf.io.decode_raw(record, tf.as_dtype(file.dtype))
    return tf.reshape(values, [-1, *file.shape])
