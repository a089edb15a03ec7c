"""The features of a row that the component itself reads: its silo, its id, and those that are passed through."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclasses.dataclass(frozen=True)
class NamedFeatures:
    """Some features of n rows.

    Attributes:
        silos: Dictionary array of n texts; null for a row without a silo.
        columns: By name the other features, each n values; null where a row has none.
    """

    silos: pa.DictionaryArray
    columns: Mapping[str, pa.Array]


def silos_of(values: pa.Array) -> pa.DictionaryArray:
    """Turns a silo key's values, texts or integers, into silos; an empty text is no silo.

    Args:
        values: Array or dictionary array of n texts or integers, nulls allowed.

    Returns:
        Dictionary array of n texts.

    Raises:
        pa.ArrowInvalid: A value is neither text nor integer, or no UTF-8.
    """
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    kind = values.type.value_type
    if pa.types.is_floating(kind):
        raise pa.ArrowInvalid("a silo is named by a text or an integer")
    texts = values.dictionary.cast(pa.string())
    indices = values.indices
    empty = pc.index(texts, "").as_py()
    if empty >= 0:
        indices = pc.if_else(pc.equal(indices, empty), pa.scalar(None, indices.type), indices)
    return pa.DictionaryArray.from_arrays(indices.cast(pa.int32()), texts)


def dictionary_of(dictionary: pa.Array, codes: np.ndarray) -> pa.DictionaryArray:
    """Returns a dictionary array of n values; code -1 stands for null."""
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=codes < 0), dictionary)
