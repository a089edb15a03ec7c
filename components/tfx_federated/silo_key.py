"""The one definition of which silo a tf.Example belongs to."""

from __future__ import annotations

import tensorflow as tf


class MalformedSiloKeyError(ValueError):
    """The silo key feature of one row is not a single non-empty string or integer."""


def silo_of_example(example: tf.train.Example, silo_key: str) -> str | None:
    """Returns the silo that a row belongs to.

    Args:
        example: One row.
        silo_key: Name of the feature that holds the silo: one string (UTF-8) or one integer.

    Returns:
        The silo id, an opaque non-empty string (an integer's decimal digits), or None for a row without a silo: the
        feature is absent, has no value or is the empty string.

    Raises:
        MalformedSiloKeyError: The feature has several values, is a float, or is not UTF-8.
    """
    if silo_key not in example.features.feature:
        return None
    feature = example.features.feature[silo_key]
    kind = feature.WhichOneof("kind")
    if kind is None:
        return None
    if kind == "float_list":
        raise MalformedSiloKeyError(f"silo key {silo_key!r} is a float; a silo is named by a string or an integer")
    values = getattr(feature, kind).value
    if len(values) > 1:
        raise MalformedSiloKeyError(f"silo key {silo_key!r} has {len(values)} values in one row; expected one")
    if not values or values[0] == b"":
        return None
    if kind == "int64_list":
        return str(values[0])
    try:
        return values[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedSiloKeyError(f"silo key {silo_key!r} is not UTF-8 text") from error
