"""Checks of the rows before TFMA sees them: a silo that names a slice, a label that is a number."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfx_federated.silo_key import MalformedSiloKeyError

# The name of an error of ours in the text of a runner's, and what tfx_bsl says of a feature with several types.
_OWN_ERROR = re.compile(r"(?:EvaluationInputError|MalformedSiloKeyError): (?P<message>[^\n]*?)(?: \[while|\n|$)")
_MIXED_TYPES = re.compile(
    r"Feature had wrong type, expected (?P<one>\w+), found (?P<other>\w+) "
    r"for feature (?P<name>[^\n]+?)(?: \[while|\n|$)"
)


class EvaluationInputError(ValueError):
    """The rows, or the models' answers to them, cannot be evaluated."""


def clean_error(error: BaseException) -> EvaluationInputError | None:
    """Returns the error of this component that a Beam runner wrapped into its own, or None if it is another error."""
    # Some runners raise the type that a DoFn raised, others a RuntimeError with the traceback as its text.
    text = f"{type(error).__name__}: {error}"
    own = _OWN_ERROR.search(text)
    if own:
        return EvaluationInputError(own["message"])
    mixed = _MIXED_TYPES.search(text)
    if mixed:
        return EvaluationInputError(
            f"feature {mixed['name']} is a {mixed['one']} in some rows and a {mixed['other']} in others; give it one "
            "type"
        )
    return None


def check_rows(batch: pa.RecordBatch, silo_key: str, label_key: str) -> pa.RecordBatch:
    """Returns the batch if TFMA can evaluate it; a silo that is the empty string becomes an absent one.

    Args:
        batch: Rows as TFXIO reads them: one column per feature, each a list per row.
        silo_key: Name of the feature that holds the silo.
        label_key: Name of the feature that holds the label.

    Raises:
        MalformedSiloKeyError: A row's silo is a float, has several values or is not UTF-8.
        EvaluationInputError: A row has not exactly one label, or the label is not a finite number.
    """
    _check_label(batch, label_key)
    position = batch.schema.get_field_index(silo_key)
    if position < 0 or pa.types.is_null(batch.column(position).type):
        return batch
    return batch.set_column(position, silo_key, _checked_silos(batch.column(position), silo_key))


def _checked_silos(column: pa.Array, silo_key: str) -> pa.Array:
    kind = column.type.value_type
    if pa.types.is_floating(kind):
        raise MalformedSiloKeyError(f"silo key {silo_key!r} is a float; a silo is named by a string or an integer")
    most = pc.max(pc.list_value_length(column)).as_py() or 0
    if most > 1:
        raise MalformedSiloKeyError(f"silo key {silo_key!r} has {most} values in one row; expected one")
    if pa.types.is_null(kind) or pa.types.is_integer(kind):
        return column
    values = column.flatten()
    try:
        values.cast(pa.large_utf8() if pa.types.is_large_binary(kind) else pa.utf8())
    except pa.ArrowInvalid:
        raise MalformedSiloKeyError(f"silo key {silo_key!r} is not UTF-8 text") from None
    if not pc.any(pc.equal(pc.binary_length(values), 0)).as_py():
        return column
    return pa.array([row if row != [b""] else None for row in column.to_pylist()], type=column.type)


def _check_label(batch: pa.RecordBatch, label_key: str) -> None:
    position = batch.schema.get_field_index(label_key)
    column = batch.column(position) if position >= 0 else None
    if column is None or pa.types.is_null(column.type):
        raise EvaluationInputError(
            f"label {label_key!r} is missing in {batch.num_rows} rows; check label_key in eval_config, and that "
            "the examples hold labels"
        )
    kind = column.type.value_type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise EvaluationInputError(
            f"label {label_key!r} is text; the label must be a number: convert it before training"
        )
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
    if np.any(lengths != 1):
        raise EvaluationInputError(
            f"label {label_key!r} is missing or has several values in {int(np.sum(lengths != 1))} of {batch.num_rows} "
            "rows; each row needs one number"
        )
    if not np.all(np.isfinite(np.asarray(column.flatten(), dtype=np.float64))):
        raise EvaluationInputError(
            f"label {label_key!r} is NaN or infinite in some rows; each row needs one finite number"
        )
