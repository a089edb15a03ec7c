"""A TFMA evaluator that keeps cells, and a TFMA writer of them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.api import types as tfma_types
from tensorflow_model_analysis.evaluators import evaluator
from tensorflow_model_analysis.extractors import extractor
from tensorflow_model_analysis.writers import writer
from tfx.dsl.io import fileio

from tfx_federated.fairness_evaluator import cells, published_silos, slice_rows
from tfx_federated.fairness_evaluator.checked_examples import EvaluationInputError

_SLICE_COLUMNS_KEY = "slice_columns"
_SILOS_KEY = "silo_positions"
_CELLS_KEY = "cells"
# Parts are merged by different workers and read one after another.
_PARTS = 16
PAIRS = "pairs"


@dataclass(frozen=True)
class Evaluation:
    """What to keep of which rows.

    Attributes:
        silo_key: Feature that holds the silo.
        silos: The silos as they are published.
        specs: The slices.
        models: The models: the candidate first. The name is that of the predictions in TFMA's extracts.
        layout: What the cells keep.
        pairs_weighted: Whether example weights count in the comparison of models.
        has_weights: Whether rows have example weights.
    """

    silo_key: str
    silos: published_silos.PublishedSilos
    specs: tuple[slice_rows.SliceSpec, ...]
    models: tuple[str, ...]
    layout: cells.Layout
    pairs_weighted: bool
    has_weights: bool


def extractor_of_slices(evaluation: Evaluation) -> extractor.Extractor:
    """Returns an extractor, to be the first, that keeps the columns that slices are named by."""
    used = sorted(set().union(*(spec.used_features() for spec in evaluation.specs)))

    def keep(extracts: tfma_types.Extracts) -> tfma_types.Extracts:
        batch = extracts[constants.ARROW_RECORD_BATCH_KEY]
        return {
            **extracts,
            _SLICE_COLUMNS_KEY: batch.select([name for name in used if name in batch.schema.names]),
            _SILOS_KEY: evaluation.silos.groups_of_rows(batch, evaluation.silo_key),
        }

    return extractor.Extractor(stage_name="KeepSliceColumns", ptransform=beam.Map(keep))


def evaluator_of_cells(evaluation: Evaluation, run_after: str) -> evaluator.Evaluator:
    """Returns an evaluator of batches of rows into cells.

    Args:
        evaluation: What to keep.
        run_after: Name of the extractor after which rows have labels, weights and predictions.
    """
    return evaluator.Evaluator(stage_name="EvaluateCells", run_after=run_after, ptransform=_EvaluateCells(evaluation))


def writer_of_cells(folder: str) -> writer.Writer:
    """Returns a writer of the cells, for `read`.

    Args:
        folder: Existing folder.
    """
    return writer.Writer(stage_name="WriteCells", ptransform=_WriteCells(folder))


def read(folder: str, spec: int | str) -> Iterator[pa.Table]:
    """Yields the cells of a specification, or `PAIRS`, in parts; a slice is in one part.

    Args:
        folder: Folder of the writer.
        spec: Position of the specification.
    """
    for path in sorted(fileio.glob(f"{folder}/{spec}-*.arrow")):
        with fileio.open(path, "rb") as file:
            yield pa.ipc.open_stream(io.BytesIO(file.read())).read_all()


class _EvaluateCells(beam.PTransform):
    def __init__(self, evaluation: Evaluation) -> None:
        super().__init__()
        self._evaluation = evaluation

    def expand(self, extracts: beam.PCollection) -> dict[str, beam.PCollection]:
        merged = (
            extracts
            | "MakeCells" >> beam.FlatMap(_cells, self._evaluation)
            | "MergeCells" >> beam.CombinePerKey(cells.Merge(self._evaluation.layout.sums()))
        )
        return {_CELLS_KEY: merged}


class _WriteCells(beam.PTransform):
    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, evaluation: Mapping[str, beam.PCollection]) -> beam.PCollection:
        return evaluation[_CELLS_KEY] | beam.Map(_write, folder=self._folder)


def _write(cells_of_part: tuple[tuple[str, int], pa.Table], folder: str) -> str:
    (name, part), table = cells_of_part
    path = f"{folder}/{name}-{part:05d}.arrow"
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as output:
        output.write_table(table)
    with fileio.open(path, "wb") as file:
        file.write(stream.getvalue())
    return path


def _cells(extracts: tfma_types.Extracts, evaluation: Evaluation) -> Iterator[tuple[tuple[str, int], pa.Table]]:
    rows = _rows(extracts, evaluation)
    batch, silos = extracts[_SLICE_COLUMNS_KEY], extracts[_SILOS_KEY]
    for number, spec in enumerate(evaluation.specs):
        places, names = slice_rows.of_batch(batch, silos, spec)
        for part, chosen in _parts(silos[places] if spec.by_silo else np.zeros(len(places), np.int64)):
            keys = {name: values.take(pa.array(chosen)) for name, values in names.items()}
            yield (
                (str(number), part),
                cells.of_rows(rows, evaluation.models, places[chosen], keys, evaluation.layout),
            )
    if len(evaluation.models) > 1:
        places = np.flatnonzero(silos >= 0)
        for part, chosen in _parts(silos[places]):
            keys = {slice_rows.SILO: pa.array(silos[places[chosen]].astype(np.int32))}
            yield (
                (PAIRS, part),
                cells.of_pairs(
                    rows, evaluation.models, evaluation.pairs_weighted, places[chosen], keys, evaluation.layout
                ),
            )


def _parts(silos: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    numbers = silos % _PARTS
    for part in np.unique(numbers):
        yield int(part), np.flatnonzero(numbers == part)


def _rows(extracts: tfma_types.Extracts, evaluation: Evaluation) -> cells.Rows:
    labels = _column(extracts[constants.LABELS_KEY], evaluation.models[0], "labels")
    if len(evaluation.layout.edges) and ((labels < 0) | (labels > 1)).any():
        raise EvaluationInputError(
            "some labels are outside of 0 to 1, and eval_config asks for metrics of two classes; give such labels, or "
            "other metrics"
        )
    weights = np.ones(len(labels))
    if evaluation.has_weights:
        weights = _column(extracts[constants.EXAMPLE_WEIGHTS_KEY], evaluation.models[0], "example weights")
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise EvaluationInputError("some example weights are negative, NaN or infinite; give finite ones")
    predictions = {
        model: _column(extracts[constants.PREDICTIONS_KEY], model, "predictions") for model in evaluation.models
    }
    return cells.Rows(labels, weights, predictions)


def _column(values: Any, model: str, what: str) -> np.ndarray:
    if isinstance(values, Mapping):
        values = values[model]
    column = np.asarray(values)
    if column.dtype == object or column.size != len(column):
        raise EvaluationInputError(
            f"{what} of {model or 'the model'} are not one number a row; eval_config's metrics need one"
        )
    return column.reshape(-1).astype(np.float64)
