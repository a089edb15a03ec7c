"""Some features of serialized tf.Examples as Arrow columns, without a Python step per row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf import message

from tfx_federated import silo_key as silo_key_lib
from tfx_federated.beam_batch_inferrer.named_features import NamedFeatures, dictionary_of, silos_of
from tfx_federated.beam_batch_inferrer.row_errors import MALFORMED_FEATURE, UNPARSABLE, Fault, FaultyRowsError

_TYPE_OF_KIND = {"bytes_list": tf.string, "int64_list": tf.int64, "float_list": tf.float32}
_IN_WORDS = {tf.string: "text", tf.int64: "an integer", tf.float32: "a float"}
_ARROW_TYPES = {tf.string: pa.string(), tf.int64: pa.int64(), tf.float32: pa.float32()}


class _UnexpectedRowError(ValueError):
    """A row of the batch is not as the fast way needs it."""


# The last one where TensorFlow's message quotes a row that is not UTF-8.
_REFUSALS = (_UnexpectedRowError, tf.errors.InvalidArgumentError, pa.ArrowInvalid, UnicodeDecodeError)


class ExampleFeatures:
    """Reads the silo and other features, of which a row has one value or none.

    The batch is parsed in TensorFlow. One that TensorFlow refuses is read row by row, which finds the rows at fault.
    Silos are equal to `silo_key.silo_of_example` row by row; a silo key may be text in one row and an integer in
    another.
    """

    def __init__(self, silo_key: str, types: Mapping[str, tf.DType]) -> None:
        """Prepares the reading.

        Args:
            silo_key: Name of the feature that holds the silo.
            types: Types of the other features by name, as from `types_of`.
        """
        self._silo_key = silo_key
        self._types = dict(types)
        # Texts first; after a batch of integers, integers first.
        self._parsers = [_parser({**self._types, silo_key: silo_type}) for silo_type in (tf.string, tf.int64)]

    def read(self, serialized: tf.Tensor) -> NamedFeatures:
        """Returns the features of a batch.

        Args:
            serialized: String tensor of shape [n], serialized tf.Examples.

        Raises:
            FaultyRowsError: A row is no tf.Example, or one of the features has several values, another type, or is a
                text that is not UTF-8.
        """
        for parser in self._parsers:
            try:
                columns = {name: _column(*parts) for name, parts in parser(serialized).items()}
                named = NamedFeatures(silos_of(columns[self._silo_key]), self._plain(columns))
            except _REFUSALS:
                continue
            self._parsers.sort(key=lambda other: other is not parser)
            return named
        return self._read_row_by_row(serialized.numpy())

    def _plain(self, columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        silos = columns[self._silo_key]
        named = {name: columns[name] for name in self._types if name != self._silo_key}
        if self._silo_key in self._types:
            named[self._silo_key] = silos
        return {
            name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            for name, column in named.items()
        }

    def _read_row_by_row(self, records: Sequence[bytes]) -> NamedFeatures:
        faults: dict[int, Fault] = {}
        silos: list[str | None] = []
        values: dict[str, list[Any]] = {name: [] for name in self._types}
        for row, record in enumerate(records):
            try:
                example = tf.train.Example.FromString(record)
                silos.append(silo_key_lib.silo_of_example(example, self._silo_key))
                for name, dtype in self._types.items():
                    values[name].append(_value(example, name, dtype))
            except message.DecodeError:
                faults[row] = Fault(UNPARSABLE, "the record is not a serialized tf.Example")
            except (silo_key_lib.MalformedSiloKeyError, _UnexpectedRowError) as error:
                faults[row] = Fault(MALFORMED_FEATURE, str(error))
        if faults:
            raise FaultyRowsError(faults)
        columns = {name: pa.array(values[name], _ARROW_TYPES[dtype]) for name, dtype in self._types.items()}
        return NamedFeatures(pa.array(silos, pa.string()).dictionary_encode(), columns)


def types_of(records: Iterable[bytes], names: Sequence[str]) -> dict[str, tf.DType]:
    """Returns the types of features; those that no row has are left out.

    Args:
        records: Serialized tf.Examples; what is none is passed over.
        names: Names of the features.
    """
    found: dict[str, tf.DType] = {}
    for record in records:
        if len(found) == len(names):
            break
        try:
            features = tf.train.Example.FromString(record).features.feature
        except message.DecodeError:
            continue
        for name in names:
            kind = features[name].WhichOneof("kind") if name in features else None
            if kind is not None:
                found.setdefault(name, _TYPE_OF_KIND[kind])
    return found


def _parser(types: Mapping[str, tf.DType]) -> Callable[[tf.Tensor], dict[str, tuple[tf.Tensor, ...]]]:
    """Returns a function of serialized rows to each feature's number of values per row and values.

    Texts come as their distinct values and a code for each, because a Python object is made of each text.
    """
    specs = {name: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64) for name, dtype in types.items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def parse(serialized: tf.Tensor) -> dict[str, tuple[tf.Tensor, ...]]:
        parts = {}
        for name, column in tf.io.parse_example(serialized, specs).items():
            values, texts = column.flat_values, None
            if types[name] == tf.string:
                texts, values = tf.unique(column.flat_values)
            parts[name] = (column.row_lengths(), values, texts)
        return parts

    return parse


def _column(row_lengths: tf.Tensor, values: tf.Tensor, texts: tf.Tensor | None = None) -> pa.Array:
    """Spreads values, or codes of texts, over the rows."""
    lengths = row_lengths.numpy()
    if lengths.max(initial=0) > 1:
        raise _UnexpectedRowError("several values")
    spread = values.numpy()
    present = lengths == 1
    if not present.all():
        spread = np.full(len(lengths), -1, spread.dtype)
        spread[present] = values.numpy()
    if texts is not None:
        return dictionary_of(pa.array(texts.numpy(), pa.binary()).cast(pa.string()), spread)
    return pa.array(spread, mask=None if present.all() else ~present)


def _value(example: tf.train.Example, name: str, dtype: tf.DType) -> Any:
    if name not in example.features.feature:
        return None
    feature = example.features.feature[name]
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else []
    if not values:
        return None
    if _TYPE_OF_KIND[kind] != dtype:
        raise _UnexpectedRowError(f"feature {name!r} is not {_IN_WORDS[dtype]}, as it is in the first rows")
    if len(values) > 1:
        raise _UnexpectedRowError(f"feature {name!r} has {len(values)} values; expected one")
    try:
        return values[0].decode("utf-8") if dtype == tf.string else values[0]
    except UnicodeDecodeError:
        raise _UnexpectedRowError(f"feature {name!r} is not UTF-8 text") from None
