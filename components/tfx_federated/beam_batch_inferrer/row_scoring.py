"""A batch of rows: their predictions as Arrow tables, and the rows at fault one by one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tfx_federated.beam_batch_inferrer.named_features import NamedFeatures
from tfx_federated.beam_batch_inferrer.routed_models import RoutedModels
from tfx_federated.beam_batch_inferrer.row_batches import RowBatch
from tfx_federated.beam_batch_inferrer.row_errors import (
    MALFORMED_FEATURE,
    NAN_PREDICTION,
    BatchError,
    Fault,
    FaultyRowsError,
)
from tfx_federated.beam_batch_inferrer.serving_signature import ServingSignature

# Columns of a scored table beside the model's outputs and the features that are passed through.
SILO, SPLIT, SOURCE, ROW, ROW_ID, RECORD = "silo", "split", "source", "row", "row_id", "record"
RESERVED_COLUMNS = (SILO, SPLIT, SOURCE, ROW, ROW_ID, RECORD)
# In the metadata of an output's field: its shape per row, as JSON. A plain column does not tell () from (1,).
SHAPE = b"shape"

SILO_TYPE = pa.dictionary(pa.int32(), pa.string())
DEAD_LETTER_SCHEMA = pa.schema(
    [(SILO, SILO_TYPE), (ROW, pa.int64()), ("reason", pa.string()), ("detail", pa.string()), (RECORD, pa.binary())]
)


@dataclasses.dataclass
class ScoredBatch:
    """What came of a batch.

    Attributes:
        scored: Tables with a row for each row scored: `silo`, `row`, `row_id` where a feature names rows, the outputs,
            the features passed through, and `record` where it is kept.
        dead_letters: Tables of `DEAD_LETTER_SCHEMA` with a row for each row at fault.
    """

    scored: list[pa.Table] = dataclasses.field(default_factory=list)
    dead_letters: list[pa.Table] = dataclasses.field(default_factory=list)


class RowScorer:
    """Scores batches, and finds the rows that cannot be scored."""

    def __init__(
        self, models: RoutedModels, row_id: str | None, passthrough_features: Sequence[str], keeps_records: bool
    ) -> None:
        """Takes the models.

        Args:
            models: The models.
            row_id: Feature that names a row; None to name it by its position.
            passthrough_features: Features to write beside the predictions.
            keeps_records: Whether the serialized rows are needed beside the predictions.
        """
        self._models = models
        self._row_id = row_id
        self._passthrough = list(passthrough_features)
        self._keeps_records = keeps_records

    def score(self, rows: RowBatch) -> ScoredBatch:
        """Scores a batch of at least one row.

        Raises:
            ShardError: A model cannot be run, or its outputs are not as they must be.
        """
        result = ScoredBatch()
        try:
            named = rows.named_features()
        except FaultyRowsError as errors:
            rows = _without(rows, errors, result)
            if not len(rows.positions):
                return result
            named = rows.named_features()
        if self._row_id is not None:
            rows, named = _with_row_id(rows, named, self._row_id, result)
        for signature, places in self._models.route(named.silos):
            self._score_by(signature, *_take(rows, named, places), result)
        return result

    def _score_by(self, signature: ServingSignature, rows: RowBatch, named: NamedFeatures, result: ScoredBatch) -> None:
        """Scores rows by one signature.

        Rows that the model refuses without naming one are cut in halves until single rows are left: k bad rows among n
        take about 2 k log2(n / k) calls.
        """
        waiting = [(rows, named)]
        while waiting:
            rows, named = waiting.pop()
            count = len(rows.positions)
            if not count:
                continue
            try:
                outputs = signature.predict(rows.model_inputs(signature), count)
            except FaultyRowsError as errors:
                bad = np.array(sorted(errors.faults))
                _put_aside(*_take(rows, named, bad), [errors.faults[row] for row in bad], result)
                waiting.append(_take(rows, named, np.setdiff1d(np.arange(count), bad)))
            except BatchError as error:
                if count == 1:
                    _put_aside(rows, named, [error.fault], result)
                else:
                    halves = np.array_split(np.arange(count), 2)
                    waiting += [_take(rows, named, half) for half in reversed(halves)]
            else:
                self._keep(rows, named, outputs, result)

    def _keep(self, rows: RowBatch, named: NamedFeatures, outputs: dict[str, np.ndarray], result: ScoredBatch) -> None:
        """Takes scored rows, save those with a NaN."""
        table = self._table(rows, named, outputs)
        floats = {name: values for name, values in outputs.items() if np.issubdtype(values.dtype, np.floating)}
        nan_outputs = [name for name, values in floats.items() if np.isnan(values).any()]
        if nan_outputs:
            is_nan = np.any([_any_nan(floats[name]) for name in nan_outputs], axis=0)
            fault = Fault(NAN_PREDICTION, f"output {nan_outputs[0]!r} is NaN")
            _put_aside(*_take(rows, named, np.flatnonzero(is_nan)), [fault] * int(is_nan.sum()), result)
            table = table.filter(pa.array(~is_nan))
        result.scored.append(table)

    def _table(self, rows: RowBatch, named: NamedFeatures, outputs: dict[str, np.ndarray]) -> pa.Table:
        columns = {SILO: named.silos, ROW: pa.array(rows.positions)}
        if self._row_id is not None:
            columns[ROW_ID] = named.columns[self._row_id]
        columns |= {name: arrow_column(values) for name, values in outputs.items()}
        columns |= {name: named.columns[name] for name in self._passthrough}
        if self._keeps_records:
            columns[RECORD] = rows.records()
        shapes = {name: {SHAPE: json.dumps(values.shape[1:])} for name, values in outputs.items()}
        fields = [pa.field(name, column.type, metadata=shapes.get(name)) for name, column in columns.items()]
        return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields))


def arrow_column(values: np.ndarray) -> pa.Array:
    """Turns [n] and [n, 1] into a plain column, [n, k] into lists, [n, k, l] into lists of lists, and so on."""
    return _arrow_array(values[:, 0] if values.shape[1:] == (1,) else values)


def _arrow_array(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values, type=pa.binary() if values.dtype == object else None)
    items = _arrow_array(values.reshape(-1, *values.shape[2:]))
    offsets = pa.array(np.arange(len(values) + 1) * values.shape[1], pa.int32())
    return pa.ListArray.from_arrays(offsets, items)


def _any_nan(values: np.ndarray) -> np.ndarray:
    return np.isnan(values).reshape(len(values), -1).any(axis=1)


def _take(rows: RowBatch, named: NamedFeatures, places: np.ndarray) -> tuple[RowBatch, NamedFeatures]:
    if len(places) == len(rows.positions):
        return rows, named
    indices = pa.array(places, pa.int64())
    columns = {name: column.take(indices) for name, column in named.columns.items()}
    return rows.take(places), NamedFeatures(named.silos.take(indices), columns)


def _without(rows: RowBatch, errors: FaultyRowsError, result: ScoredBatch) -> RowBatch:
    """Puts rows aside of which the silo is not known either, and returns the others."""
    bad = np.array(sorted(errors.faults))
    nothing = NamedFeatures(pa.array([None] * len(bad), pa.string()).dictionary_encode(), {})
    _put_aside(rows.take(bad), nothing, [errors.faults[row] for row in bad], result)
    return rows.take(np.setdiff1d(np.arange(len(rows.positions)), bad))


def _with_row_id(
    rows: RowBatch, named: NamedFeatures, row_id: str, result: ScoredBatch
) -> tuple[RowBatch, NamedFeatures]:
    """Puts rows without an id aside, and returns the others."""
    if not named.columns[row_id].null_count:
        return rows, named
    has_id = named.columns[row_id].is_valid().to_numpy(zero_copy_only=False)
    fault = Fault(MALFORMED_FEATURE, f"there is no row id {row_id!r}")
    _put_aside(*_take(rows, named, np.flatnonzero(~has_id)), [fault] * int(np.sum(~has_id)), result)
    return _take(rows, named, np.flatnonzero(has_id))


def _put_aside(rows: RowBatch, named: NamedFeatures, faults: Sequence[Fault], result: ScoredBatch) -> None:
    columns = [
        named.silos,
        pa.array(rows.positions),
        pa.array([fault.reason for fault in faults], pa.string()),
        pa.array([fault.detail for fault in faults], pa.string()),
        rows.records(),
    ]
    result.dead_letters.append(pa.Table.from_arrays(columns, schema=DEAD_LETTER_SCHEMA))
