"""Cells: sums over the rows of a slice whose scores fall in one bucket; all that an evaluation keeps of the rows.

TFMA holds an accumulator of Python objects for each slice and metric and adds rows to it one by one. Cells are columns
of an Arrow table, made and merged for all slices at once; every confusion matrix at the edges of the buckets, and so
every metric derived from one, can be read from them exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tfx_federated.fairness_evaluator import row_losses
from tfx_federated.statistics import arrays

MODEL, WEIGHTED, BUCKET, OTHER_BUCKET = "model", "weighted", "bucket", "other_bucket"
_SUMS = (
    "rows",
    "weight",
    "label",
    "negative",
    "prediction",
    "weight_squares",
    "label_squares",
    "negative_squares",
)
# Cells that are waiting to be merged, beyond as many as there are already.
_PENDING_CELLS = 2**18


@dataclass(frozen=True)
class Layout:
    """What the cells of an evaluation keep.

    Attributes:
        edges: Ascending scores between the buckets. A score belongs to the bucket whose number is that of the edges
            below it, so that it is above edge i exactly if its bucket is above i.
        weightings: Whether sums are over rows (False), over rows times their example weights (True), or both.
        losses: Losses whose sums are kept.
    """

    edges: arrays.Vector
    weightings: tuple[bool, ...]
    losses: tuple[row_losses.RowLoss, ...]

    def sums(self) -> list[str]:
        """Returns the names of the summed columns: those of `_SUMS`, then two for each loss."""
        return [*_SUMS, *(name for loss in self.losses for name in loss_columns(loss.name))]


@dataclass(frozen=True)
class Rows:
    """Evaluated rows.

    Attributes:
        labels: [rows].
        weights: Example weights, [rows].
        predictions: By model, [rows]; NaN where the model has none.
    """

    labels: arrays.Vector
    weights: arrays.Vector
    predictions: Mapping[str, arrays.Vector]


def loss_columns(name: str) -> tuple[str, str, str]:
    """Returns the columns of a loss: its weighted sum, the sum of the weights, and the sum of squares."""
    return f"loss:{name}", f"loss_weight:{name}", f"loss_squares:{name}"


def of_rows(
    rows: Rows, models: Sequence[str], places: np.ndarray, keys: Mapping[str, pa.Array], layout: Layout
) -> pa.Table:
    """Returns the cells of rows, one for each row, model and weighting, not yet merged.

    Args:
        rows: The rows.
        models: The models, in the order of their numbers in column `model`.
        places: Which rows, in any order and number, [cells].
        keys: Columns that name the slice, [cells] each.
        layout: What the cells keep.
    """
    tables = []
    for number, model in enumerate(models):
        scores = rows.predictions[model][places]
        defined = ~np.isnan(scores)
        chosen, scores = places[defined], scores[defined]
        names = {name: column.filter(pa.array(defined)) for name, column in keys.items()}
        names[MODEL] = pa.array(np.full(len(chosen), number, np.int8))
        names[BUCKET] = pa.array(np.searchsorted(layout.edges, scores).astype(np.int32))
        for weighted in layout.weightings:
            weights = rows.weights[chosen] if weighted else np.ones(len(chosen))
            columns = names | {WEIGHTED: pa.array(np.full(len(chosen), weighted))}
            sums = _sums(rows.labels[chosen], scores, weights, layout)
            tables.append(pa.table(columns | {name: pa.array(value) for name, value in sums.items()}))
    return pa.concat_tables(tables)


def of_pairs(
    rows: Rows, models: Sequence[str], weighted: bool, places: np.ndarray, keys: Mapping[str, pa.Array], layout: Layout
) -> pa.Table:
    """Returns the cells of rows by the buckets of the first model and of each other one, not yet merged.

    Losses are those of the other model less those of the first.

    Args:
        rows: The rows.
        models: The candidate, and the models to compare it with.
        weighted: Whether example weights count.
        places: Which rows, [cells].
        keys: Columns that name the slice, [cells] each.
        layout: What the cells keep.
    """
    tables = []
    candidate = rows.predictions[models[0]][places]
    for number, model in enumerate(models[1:], start=1):
        scores = rows.predictions[model][places]
        defined = ~np.isnan(scores) & ~np.isnan(candidate)
        chosen = places[defined]
        labels = rows.labels[chosen]
        weights = rows.weights[chosen] if weighted else np.ones(len(chosen))
        first, second = candidate[defined], scores[defined]
        sums = _sums(labels, first, weights, layout)
        for loss in layout.losses:
            difference = loss.function(labels, second) - loss.function(labels, first)
            sums |= _loss_sums(loss.name, difference, weights)
        columns = {name: column.filter(pa.array(defined)) for name, column in keys.items()}
        columns[MODEL] = pa.array(np.full(len(chosen), number, np.int8))
        columns[BUCKET] = pa.array(np.searchsorted(layout.edges, first).astype(np.int32))
        columns[OTHER_BUCKET] = pa.array(np.searchsorted(layout.edges, second).astype(np.int32))
        tables.append(pa.table(columns | {name: pa.array(value) for name, value in sums.items()}))
    return pa.concat_tables(tables)


def merge(tables: Sequence[pa.Table], sums: Sequence[str]) -> pa.Table:
    """Returns the tables as one, with one row per cell.

    Args:
        tables: Tables of the same columns, at least one.
        sums: The summed columns; the others together name a cell.
    """
    table = pa.concat_tables(tables)
    keys = [name for name in table.column_names if name not in set(sums)]
    merged = table.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in sums])
    return merged.rename_columns([name.removesuffix("_sum") for name in merged.column_names]).select(table.column_names)


class Merge(beam.CombineFn):
    """Merges tables of cells; holds about as many cells as there are, and a bounded number of others."""

    def __init__(self, sums: Sequence[str]) -> None:
        self._sums = list(sums)

    def create_accumulator(self) -> list[pa.Table]:
        """Returns no cell."""
        return []

    def add_input(self, accumulator: list[pa.Table], element: pa.Table) -> list[pa.Table]:
        """Adds the cells of a table."""
        accumulator.append(element)
        merged = accumulator[0].num_rows
        if sum(table.num_rows for table in accumulator) - merged > max(merged, _PENDING_CELLS):
            return self.compact(accumulator)
        return accumulator

    def merge_accumulators(self, accumulators: Sequence[list[pa.Table]]) -> list[pa.Table]:
        """Adds up accumulators."""
        result: list[pa.Table] = []
        for accumulator in accumulators:
            for table in accumulator:
                result = self.add_input(result, table)
        return result

    def compact(self, accumulator: list[pa.Table]) -> list[pa.Table]:
        """Merges what is waiting."""
        return [merge(accumulator, self._sums)] if accumulator else []

    def extract_output(self, accumulator: list[pa.Table]) -> pa.Table:
        """Returns the merged cells."""
        return self.compact(accumulator)[0]


def _sums(
    labels: arrays.Vector, scores: arrays.Vector, weights: arrays.Vector, layout: Layout
) -> dict[str, arrays.Vector]:
    positive, negative = weights * labels, weights * (1 - labels)
    columns = (
        np.ones(len(labels)),
        weights,
        positive,
        negative,
        weights * scores,
        weights**2,
        positive**2,
        negative**2,
    )
    sums = dict(zip(_SUMS, columns, strict=True))
    for loss in layout.losses:
        sums |= _loss_sums(loss.name, loss.function(labels, scores), weights)
    return sums


def _loss_sums(name: str, losses: arrays.Vector, weights: arrays.Vector) -> dict[str, arrays.Vector]:
    # TFMA leaves rows without a loss out of the mean.
    counted = np.where(np.isnan(losses), 0.0, weights)
    losses = np.where(np.isnan(losses), 0.0, losses)
    columns = (counted * losses, counted, counted * losses**2)
    return dict(zip(loss_columns(name), columns, strict=True))
