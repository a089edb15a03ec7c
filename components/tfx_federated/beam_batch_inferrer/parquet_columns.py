"""Columns of a Parquet file as a model's input tensors, and as the features that the component reads itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from tfx_federated.beam_batch_inferrer.named_features import NamedFeatures, silos_of
from tfx_federated.beam_batch_inferrer.row_errors import MALFORMED_FEATURE, MISSING_FEATURE, Fault, FaultyRowsError
from tfx_federated.example_shards import ShardError

# An input of a signature that has a feature's number of values in each row; the feature's own input has all values.
ROW_LENGTHS = "_row_lengths"


class ParquetFeatures:
    """Reads the silo and other features of record batches.

    Attributes:
        columns: The columns of the file that are needed.
    """

    def __init__(self, silo_key: str, names: Sequence[str], inputs: Iterable[str]) -> None:
        """Prepares the reading.

        Args:
            silo_key: Column that holds the silo, texts or integers.
            names: The other columns.
            inputs: The model's inputs: their columns are to be read as well.
        """
        self._silo_key = silo_key
        self._names = list(names)
        self.columns = sorted({silo_key, *names, *(name.removesuffix(ROW_LENGTHS) for name in inputs), *inputs})

    def read(self, batch: pa.RecordBatch) -> NamedFeatures:
        """Returns the features of a batch.

        Raises:
            FaultyRowsError: Silos that are not UTF-8.
            ShardError: A column is missing, or the silo column has another type.
        """
        columns = {name: _column(batch, name) for name in (self._silo_key, *self._names)}
        silos = columns[self._silo_key]
        if pa.types.is_null(silos.type):
            silos = silos.cast(pa.string())
        if not (pa.types.is_integer(silos.type) or _is_text(silos.type)):
            raise ShardError(f"silo key {self._silo_key!r} is {silos.type}; a silo is named by a text or an integer")
        try:
            named = silos_of(silos)
        except pa.ArrowInvalid:
            raise FaultyRowsError(_not_text(silos, self._silo_key)) from None
        return NamedFeatures(named, {name: columns[name] for name in self._names})


def to_tensors(batch: pa.RecordBatch, inputs: Mapping[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
    """Returns the tensors that a signature takes.

    An input of shape [None] or [None, 1] is a plain column, one of shape [None, k] a column of lists of k values. With
    an input `<name>_row_lengths` beside it, input `<name>` has the values of all rows one after another, and a row may
    have none.

    Args:
        batch: The rows.
        inputs: Types and shapes of the inputs by name.

    Raises:
        FaultyRowsError: Rows without a value, or with another number of values, for an input that needs them.
        ShardError: A column is missing, or has a type that the input cannot take.
    """
    tensors: dict[str, tf.Tensor] = {}
    for name, spec in inputs.items():
        feature = name.removesuffix(ROW_LENGTHS)
        if name != feature and feature in inputs:
            tensors[name] = tf.constant(_row_lengths(_column(batch, feature)))
            continue
        column = _column(batch, name)
        if f"{name}{ROW_LENGTHS}" in inputs:
            tensors[name] = _tensor(_flat(column, name).drop_null(), spec, name)
            continue
        shape = spec.shape.as_list()[1:]
        width = int(np.prod(shape, dtype=int))
        if not np.all(present := _row_lengths(column) == width):
            detail = f"feature {name!r} does not have {width} value(s), as the model's signature takes them"
            raise FaultyRowsError({int(row): Fault(MISSING_FEATURE, detail) for row in np.flatnonzero(~present)})
        tensors[name] = tf.reshape(_tensor(_flat(column, name), spec, name), [batch.num_rows, *shape])
    return tensors


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    position = batch.schema.get_field_index(name)
    if position < 0:
        raise ShardError(f"there is no column {name!r}; there are {batch.schema.names}")
    column = batch.column(position)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _flat(column: pa.Array, name: str) -> pa.Array:
    if not _is_list(column.type):
        return column
    values = column.flatten()
    if values.null_count:
        raise ShardError(f"column {name!r} has nulls inside its lists; a list holds values only")
    return values


def _row_lengths(column: pa.Array) -> np.ndarray:
    """Returns int64 of shape [n]: how many values each row has, a null being none."""
    if _is_list(column.type):
        return pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64()).to_numpy()
    if not column.null_count:
        return np.ones(len(column), np.int64)
    return column.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)


def _tensor(values: pa.Array, spec: tf.TensorSpec, name: str) -> tf.Tensor:
    if spec.dtype == tf.string:
        if not _is_text(values.type):
            raise ShardError(f"column {name!r} is {values.type}, and the model's signature takes texts")
        # A Python object is made of each distinct text, not of each row's.
        encoded = values.dictionary_encode()
        texts = tf.constant(encoded.dictionary.to_numpy(zero_copy_only=False), tf.string)
        return tf.gather(texts, encoded.indices.to_numpy()) if len(values) else tf.zeros([0], tf.string)
    try:
        # Precision may be lost, as it is on the way into a tf.Example; an integer out of range is an error.
        is_exact = pa.types.is_integer(values.type) and spec.dtype.is_integer
        array = values.cast(pa.from_numpy_dtype(spec.dtype.as_numpy_dtype), safe=is_exact)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ShardError(
            f"column {name!r} is {values.type}, and the model's signature takes {spec.dtype.name}"
        ) from None
    return tf.constant(array.to_numpy(zero_copy_only=False), spec.dtype)


def _not_text(values: pa.Array, name: str) -> dict[int, Fault]:
    """Finds the values that are not UTF-8, one by one."""
    faults = {}
    for row, value in enumerate(values.to_pylist()):
        try:
            (value or b"").decode("utf-8")
        except UnicodeDecodeError:
            faults[row] = Fault(MALFORMED_FEATURE, f"feature {name!r} is not UTF-8 text")
    return faults
