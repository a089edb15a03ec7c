"""The silo of each row of a batch, without a Python step per row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from google.protobuf import message

from tfx_federated import silo_key as silo_key_lib
from tfx_federated.example_shards import ShardError

NO_SILO = -1


@dataclasses.dataclass(frozen=True)
class SiloColumn:
    """The silos of n rows.

    Attributes:
        ids: Silo ids, without repetition.
        codes: int64 of shape [n]: for each row a position in `ids`, or `NO_SILO`.
    """

    ids: list[str]
    codes: np.ndarray


class SiloColumnReader:
    """Reads the silos of serialized tf.Examples; equal to `silo_key.silo_of_example` row by row.

    The batch is parsed in TensorFlow as strings or as integers, whichever the last batch was. What fits neither is read
    row by row, which finds the row at fault if there is one.
    """

    def __init__(self, silo_key: str) -> None:
        self._silo_key = silo_key
        self._parsers = [_parser(silo_key, tf.string), _parser(silo_key, tf.int64)]

    def read(self, serialized: tf.Tensor) -> SiloColumn:
        """Returns the silos of a batch.

        Args:
            serialized: String tensor of shape [n], serialized tf.Examples.

        Raises:
            ShardError: A row is no tf.Example, or its silo key is malformed; the message has the row's position in
                the batch.
        """
        for parser in self._parsers:
            try:
                ids, codes, lengths = parser(serialized)
                column = _column(ids.numpy(), codes.numpy(), lengths.numpy())
            except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
                continue
            if column is not None:
                self._parsers.sort(key=lambda other: other is not parser)
                return column
        return self._read_row_by_row(serialized)

    def _read_row_by_row(self, serialized: tf.Tensor) -> SiloColumn:
        positions: dict[str, int] = {}
        codes = np.full(len(serialized), NO_SILO, np.int64)
        for row, record in enumerate(serialized.numpy()):
            try:
                silo = silo_key_lib.silo_of_example(tf.train.Example.FromString(record), self._silo_key)
            except message.DecodeError:
                raise ShardError(f"row {row} of the batch is not a serialized tf.Example") from None
            except silo_key_lib.MalformedSiloKeyError as error:
                raise ShardError(f"row {row} of the batch: {error}") from None
            if silo is not None:
                codes[row] = positions.setdefault(silo, len(positions))
        return SiloColumn(list(positions), codes)


def _parser(silo_key: str, dtype: tf.DType) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        column = tf.io.parse_example(serialized, {silo_key: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)})[
            silo_key
        ]
        values = column.flat_values if dtype == tf.string else tf.strings.as_string(column.flat_values)
        unique = tf.unique(values, out_idx=tf.int64)
        return unique.y, unique.idx, column.row_lengths()

    return parse


def _column(ids: np.ndarray, codes: np.ndarray, lengths: np.ndarray) -> SiloColumn | None:
    """Spreads the codes of the values over the rows; None where a row has several values."""
    if lengths.max(initial=0) > 1:
        return None
    decoded = [value.decode("utf-8") for value in ids]
    row_codes = np.full(len(lengths), NO_SILO, np.int64)
    row_codes[lengths == 1] = codes
    if "" in decoded:
        row_codes[row_codes == decoded.index("")] = NO_SILO
    return SiloColumn(decoded, row_codes)
