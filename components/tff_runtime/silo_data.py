"""The silos' rows as `tf.data` batches, in an order that only the seed decides."""

from __future__ import annotations

import collections
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tff_runtime import job as job_lib

# Rows in a batch of evaluation: no step depends on it, so it is as large as is cheap.
_EVALUATION_BATCH_SIZE = 1024


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
    generator = np.random.default_rng([seed, round_number, epoch, zlib.crc32(silo.encode("utf-8"))])
    order = generator.permutation(rows)
    return [order[start : start + batch_size] for start in range(0, rows, batch_size)]


class SiloData:
    """The memory-mapped arrays of a job, by split and silo."""

    def __init__(self, directory: job_lib.JobDirectory, job: job_lib.TrainingJob, features: Sequence[str]) -> None:
        """Opens the arrays.

        Args:
            directory: The job's files.
            job: The job.
            features: Names of the features that the model takes.
        """
        self._job = job
        self._arrays = {
            split: {
                name: np.load(directory.array(split, job.features[name]), mmap_mode="r") for name in sorted(features)
            }
            for split in job.silos
        }
        self._labels = {split: np.load(directory.array(split, job.label), mmap_mode="r") for split in job.silos}

    def training_dataset(self, silo: job_lib.SiloRows, round_number: int) -> tf.data.Dataset:
        """Returns the batches that one silo trains on in one round, all its epochs, as (features, label)."""
        job = self._job
        features, labels = self._rows(job.train_split, silo)
        epochs = [
            _batches(features, labels, np.concatenate(indices), job.batch_size)
            for indices in self._epochs(silo, round_number)
        ]
        dataset = epochs[0]
        for epoch in epochs[1:]:
            dataset = dataset.concatenate(epoch)
        return dataset

    def evaluation_dataset(self, split: str, silo: job_lib.SiloRows) -> tf.data.Dataset:
        """Returns all rows of one silo's split in large batches, as (features, label)."""
        features, labels = self._rows(split, silo)
        return _batches(features, labels, np.arange(silo.count), _EVALUATION_BATCH_SIZE)

    def _rows(self, split: str, silo: job_lib.SiloRows) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rows = slice(silo.start, silo.start + silo.count)
        return {name: array[rows] for name, array in self._arrays[split].items()}, self._labels[split][rows]

    def _epochs(self, silo: job_lib.SiloRows, round_number: int) -> Iterator[list[np.ndarray]]:
        for epoch in range(self._job.local_epochs):
            yield batch_indices(silo.count, self._job.batch_size, self._job.seed, round_number, epoch, silo.silo)


def _batches(
    features: dict[str, np.ndarray], labels: np.ndarray, order: np.ndarray, batch_size: int
) -> tf.data.Dataset:
    ordered = collections.OrderedDict((name, array[order]) for name, array in features.items())
    return tf.data.Dataset.from_tensor_slices((ordered, labels[order])).batch(batch_size)
