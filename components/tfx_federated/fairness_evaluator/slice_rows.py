"""Which rows of a batch belong to which slices of a specification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_model_analysis.proto import config_pb2

from tfx_federated.statistics import arrays

SILO = "silo"
_FEATURE = "feature:"


@dataclass(frozen=True)
class SliceSpec:
    """A TFMA SlicingSpec, as far as it names features.

    Attributes:
        features: Features by each of whose values rows are sliced, sorted; the silo key is not among them.
        by_silo: Whether rows are sliced by silo, too.
        values: Pairs of a feature and the value, as text, that it must have.
        only_silo: Position of the one silo whose rows are meant, -1 if there is no such silo; None for any silo.
    """

    features: tuple[str, ...]
    by_silo: bool
    values: tuple[tuple[str, str], ...]
    only_silo: int | None

    @classmethod
    def of(cls, spec: config_pb2.SlicingSpec, silo_key: str, silos: Sequence[str]) -> SliceSpec:
        """Returns the specification of a proto.

        Args:
            spec: The proto.
            silo_key: Feature that holds the silo.
            silos: Published silos; no other can be named.
        """
        features = tuple(sorted(set(spec.feature_keys) - {silo_key}))
        values = dict(spec.feature_values)
        silo = values.pop(silo_key, None)
        only_silo = None if silo is None else next((place for place, name in enumerate(silos) if name == silo), -1)
        return cls(features, silo_key in spec.feature_keys, tuple(sorted(values.items())), only_silo)

    def columns(self) -> list[str]:
        """Returns the names of the columns that name a slice."""
        return [SILO] * self.by_silo + [column(feature) for feature in self.features]

    def used_features(self) -> set[str]:
        """Returns the features that must be read."""
        return {*self.features, *(feature for feature, _ in self.values)}


def column(feature: str) -> str:
    """Returns the name of the column with the value of a feature."""
    return _FEATURE + feature


def of_batch(
    batch: pa.RecordBatch, silos: arrays.IntVector, spec: SliceSpec
) -> tuple[arrays.IntVector, dict[str, pa.Array]]:
    """Returns the rows of every slice.

    Args:
        batch: Rows, a column of lists for each feature. A row with several values of a feature is in several slices,
            and one without a value in none.
        silos: Position of each row's silo, [rows]; -1 for none.
        spec: The specification.

    Returns:
        Rows, [entries], and the columns that name the slice of each, [entries].
    """
    rows = np.arange(len(silos))
    for feature, value in spec.values:
        rows = rows[np.isin(rows, _rows_with_value(batch, feature, value))]
    if spec.only_silo is not None:
        rows = rows[(silos[rows] == spec.only_silo) & (silos[rows] >= 0)]
    columns: dict[str, pa.Array] = {}
    if spec.by_silo:
        rows = rows[silos[rows] >= 0]
        columns[SILO] = pa.array(silos[rows].astype(np.int32))
    for feature in spec.features:
        parents, values = _values(batch, feature)
        first = np.searchsorted(parents, rows, side="left")
        counts = np.searchsorted(parents, rows, side="right") - first
        entries = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(entries)) - np.repeat(np.cumsum(counts) - counts, counts)
        columns = {name: values_so_far.take(pa.array(entries)) for name, values_so_far in columns.items()}
        columns[column(feature)] = values.take(pa.array(first[entries] + within))
        rows = rows[entries]
    return _without_repetitions(rows, columns)


def _without_repetitions(
    rows: arrays.IntVector, columns: dict[str, pa.Array]
) -> tuple[arrays.IntVector, dict[str, pa.Array]]:
    """Lets a row count once in a slice, though it may have the slice's value twice."""
    if len(np.unique(rows)) == len(rows):
        return rows, columns
    entries = pa.table({"row": rows, **columns})
    unique = entries.group_by(entries.column_names, use_threads=False).aggregate([])
    return unique["row"].to_numpy(), {name: unique[name].combine_chunks() for name in columns}


def _values(batch: pa.RecordBatch, feature: str) -> tuple[arrays.IntVector, pa.Array]:
    """Returns the feature's values, and the row of each, ascending."""
    position = batch.schema.get_field_index(feature)
    if position < 0 or pa.types.is_null(batch.column(position).type):
        return np.empty(0, np.int64), pa.nulls(0, pa.binary())
    lists = batch.column(position)
    values = lists.flatten()
    if pa.types.is_large_binary(values.type) or pa.types.is_large_string(values.type):
        values = values.cast(pa.binary())
    return np.asarray(pc.list_parent_indices(lists)).astype(np.int64), values


def _rows_with_value(batch: pa.RecordBatch, feature: str, value: str) -> arrays.IntVector:
    parents, values = _values(batch, feature)
    if pa.types.is_binary(values.type):
        return parents[np.asarray(pc.equal(values, value.encode()))]
    try:
        return parents[np.asarray(values) == float(value)]
    except ValueError:
        return np.empty(0, np.int64)
