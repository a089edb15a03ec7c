"""Turns the rows of SiloExamples into fixed-layout arrays, the rows of all silos one after the other.

Rows are parsed many at a time whatever silo they belong to, and written through memory maps: the memory needed depends
on neither the number of silos nor that of rows.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from tff_runtime import job as job_lib
from tfx_federated import silo_examples
from tfx_federated.federated_trainer import feature_specs

_ROWS_PER_PARSE = 4096


@dataclasses.dataclass(frozen=True)
class StoredSpecs:
    """What `SiloArrays` writes of each row.

    Attributes:
        features: Parsing spec of every feature.
        label_key: Name of the label.
        label: Parsing spec of the label.
    """

    features: Mapping[str, tf.io.FixedLenFeature]
    label_key: str
    label: tf.io.FixedLenFeature

    def stored_features(self) -> dict[str, job_lib.StoredFeature]:
        """Returns where each feature is stored. Files are numbered: a feature's name may be no file name."""
        return {
            name: job_lib.StoredFeature(spec.dtype.name, tuple(spec.shape), f"{number}.npy")
            for number, (name, spec) in enumerate(sorted(self.features.items()))
        }

    def stored_label(self) -> job_lib.StoredFeature:
        """Returns where the label is stored; a scalar is stored with shape `(1,)`, as a model's output has it."""
        return job_lib.StoredFeature(self.label.dtype.name, tuple(self.label.shape) or (1,), "label.npy")

    def parsing(self) -> dict[str, tf.io.FixedLenFeature]:
        """Returns the spec for `tf.io.parse_example`."""
        return {**self.features, self.label_key: self.label}


def write_split(
    reader: silo_examples.SiloExamplesReader,
    split: str,
    specs: StoredSpecs,
    directory: job_lib.JobDirectory,
    excluded_silos: Collection[str] = (),
) -> tuple[job_lib.SiloRows, ...]:
    """Writes the arrays of one split.

    Args:
        reader: The silo examples.
        split: Name of the split.
        specs: What to write.
        directory: The job whose data the arrays are.
        excluded_silos: Silos that are left out.

    Returns:
        The silos of the split and their rows.

    Raises:
        FeatureError: A row lacks a feature, or has another type or number of values; the message names both.
        OSError: The arrays do not fit on the disk.
    """
    entries = [entry for entry in reader.entries(split) if entry.silo not in excluded_silos]
    ends = np.cumsum([entry.rows for entry in entries])
    silos = tuple(
        job_lib.SiloRows(entry.silo, int(end) - entry.rows, entry.rows)
        for entry, end in zip(entries, ends, strict=True)
    )
    if not silos:
        of_others = " of silos that are not excluded" if excluded_silos else ""
        raise feature_specs.FeatureError(f"split {split!r} of the silo examples has no rows{of_others}")
    total = int(ends[-1])
    stored = {**specs.stored_features(), specs.label_key: specs.stored_label()}
    arrays = {name: _create(directory.array(split, feature), feature, total) for name, feature in stored.items()}
    records = itertools.chain.from_iterable(reader.read(entry) for entry in entries)
    start = 0
    for batch in _batched(records, _ROWS_PER_PARSE):
        parsed = _parse(batch, start, specs, silos)
        for name, array in arrays.items():
            array[start : start + len(batch)] = parsed[name].reshape(len(batch), *stored[name].shape)
        start += len(batch)
    for array in arrays.values():
        array.flush()
    return silos


def _create(path: pathlib.Path, feature: job_lib.StoredFeature, rows: int) -> np.memmap:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=feature.dtype, shape=(rows, *feature.shape))
    # A sparse file on a full disk would end the process with SIGBUS at some later write.
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _batched(records: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    iterator = iter(records)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _parse(
    batch: list[bytes], start: int, specs: StoredSpecs, silos: tuple[job_lib.SiloRows, ...]
) -> dict[str, np.ndarray]:
    try:
        parsed = tf.io.parse_example(tf.constant(batch), specs.parsing())
    except tf.errors.InvalidArgumentError:
        row, message = _first_broken(batch, specs)
        raise feature_specs.FeatureError(f"silo {_silo_of(start + row, silos)!r}: {message}") from None
    return {name: tensor.numpy() for name, tensor in parsed.items()}


def _first_broken(batch: list[bytes], specs: StoredSpecs) -> tuple[int, str]:
    for row, record in enumerate(batch):
        for name, spec in specs.parsing().items():
            try:
                tf.io.parse_example(tf.constant([record]), {name: spec})
            except tf.errors.InvalidArgumentError:
                return row, (
                    f"a row has no feature {name!r} of type {spec.dtype.name} and shape {tuple(spec.shape)}; "
                    f"the silo examples "
                    "and the schema or Transform graph do not belong together, or the feature is missing in that row"
                )
    raise AssertionError("a batch that cannot be parsed has a row that cannot be parsed")


def _silo_of(row: int, silos: tuple[job_lib.SiloRows, ...]) -> str:
    starts = [silo.start for silo in silos]
    return silos[int(np.searchsorted(starts, row, side="right")) - 1].silo
