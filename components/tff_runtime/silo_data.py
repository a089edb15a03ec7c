"""The silos' rows, and the order in which they are trained on, which only the seed decides."""

from __future__ import annotations

import collections
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tff_runtime import job as job_lib


def batch_indices(rows: int, batch_size: int, seed: int, round_number: int, epoch: int, silo: str) -> list[np.ndarray]:
    """Returns which rows make up each batch of one silo's epoch.

    The order depends on nothing but the arguments: not on other silos, the machine or the run so far.

    Args:
        rows: Number of rows of the silo.
        batch_size: Rows in a batch; the last batch holds the rest.
        seed: Seed of the training.
        round_number: The round; the first is 1.
        epoch: The pass over the rows within the round; the first is 0.
        silo: The silo's id.

    Returns:
        One int64 array of row numbers a batch; together every row once.
    """
    order = _permutation(rows, seed, round_number, epoch, silo)
    return [order[start : start + batch_size] for start in range(0, rows, batch_size)]


def batch_order(rows: int, batch_size: int, epochs: int, seed: int, round_number: int, silo: str) -> np.ndarray:
    """Returns the batches of `batch_indices` of all epochs as one int32 array `(steps, batch_size)`, -1 for padding."""
    steps = -(-rows // batch_size)
    order = np.full((epochs, steps * batch_size), -1, np.int32)
    for epoch in range(epochs):
        order[epoch, :rows] = _permutation(rows, seed, round_number, epoch, silo)
    return order.reshape(epochs * steps, batch_size)


def _permutation(rows: int, seed: int, round_number: int, epoch: int, silo: str) -> np.ndarray:
    return np.random.default_rng([seed, round_number, epoch, zlib.crc32(silo.encode("utf-8"))]).permutation(rows)


class SiloData:
    """The memory-mapped arrays of a job, by split and silo.

    Attributes:
        arrays: Array of each feature that the model takes, by split and name in alphabetical order.
        labels: Array of the labels, by split.
    """

    def __init__(self, directory: job_lib.JobDirectory, job: job_lib.TrainingJob, features: Sequence[str]) -> None:
        """Opens the arrays.

        Args:
            directory: The job's files.
            job: The job.
            features: Names of the features that the model takes.
        """
        self._job = job
        self.arrays = {
            split: {
                name: np.load(directory.array(split, job.features[name]), mmap_mode="r") for name in sorted(features)
            }
            for split in job.silos
        }
        self.labels = {split: np.load(directory.array(split, job.label), mmap_mode="r") for split in job.silos}

    def rows(self, split: str, silo: job_lib.SiloRows) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Returns the features by name, and the labels, of one silo; each array begins with an axis of its rows."""
        rows = slice(silo.start, silo.start + silo.count)
        return {name: array[rows] for name, array in self.arrays[split].items()}, self.labels[split][rows]

    def row_bytes(self, split: str) -> int:
        """Returns how many bytes one row's features and label take."""
        arrays = [*self.arrays[split].values(), self.labels[split]]
        return sum(array.itemsize * int(np.prod(array.shape[1:])) for array in arrays)

    def training_dataset(self, silo: job_lib.SiloRows, order: np.ndarray) -> tf.data.Dataset:
        """Returns one silo's batches of training rows as (features, label), those of an order as in `batch_order`."""
        features, labels = self.rows(self._job.train_split, silo)
        columns = (collections.OrderedDict((name, tf.constant(array)) for name, array in features.items()), labels)

        def batch(rows: tf.Tensor) -> tuple[Any, tf.Tensor]:
            present = tf.boolean_mask(rows, rows >= 0)
            return tf.nest.map_structure(lambda column: tf.gather(column, present), columns)

        return tf.data.Dataset.from_tensor_slices(order).map(batch)
