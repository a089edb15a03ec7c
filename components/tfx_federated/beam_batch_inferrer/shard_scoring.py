"""One input shard: rows in, files and a record of what was done out."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from apache_beam.utils import shared

from tfx_federated.beam_batch_inferrer import added_predictions, row_batches, row_ids, shard_record, work_folder
from tfx_federated.beam_batch_inferrer.example_features import ExampleFeatures
from tfx_federated.beam_batch_inferrer.layouts import LAYOUTS
from tfx_federated.beam_batch_inferrer.model_files import ModelFiles
from tfx_federated.beam_batch_inferrer.output_formats import OUTPUT_FORMATS
from tfx_federated.beam_batch_inferrer.parquet_columns import ParquetFeatures
from tfx_federated.beam_batch_inferrer.progress import Progress
from tfx_federated.beam_batch_inferrer.row_batches import RowBatch, Shard
from tfx_federated.beam_batch_inferrer.row_scoring import ROW_ID, SHAPE, SILO, RowScorer, ScoredBatch
from tfx_federated.beam_batch_inferrer.settings import Settings
from tfx_federated.beam_batch_inferrer.shard_files import ShardFiles
from tfx_federated.beam_batch_inferrer.shard_record import ShardRecord
from tfx_federated.beam_batch_inferrer.work_folder import DEAD_LETTERS, WorkFolder
from tfx_federated.example_shards import ShardError

# Bounds the memory of a worker to a few times as much, whatever the size of the shards.
_BUFFER_BYTES = 64 << 20
# Where no bad row is allowed, a shard with so many is given up: each takes calls of the model to find.
_MOST_DEAD_LETTERS = 1000


class ScoreShard(beam.DoFn):
    """Scores a shard, unless a former attempt did, and writes its `ShardRecord`.

    A `ShardError` becomes part of the record: Beam would repeat the shard in vain and hide the reason in a traceback.
    """

    def __init__(
        self,
        models: ModelFiles,
        handle: shared.Shared,
        settings: Settings,
        feature_types: Mapping[str, tf.DType],
        folder: WorkFolder,
        metadata: Mapping[str, str],
    ) -> None:
        """Keeps what it is given; the models are loaded once per process.

        Args:
            models: The models.
            handle: Names the loaded models among the threads of a process.
            settings: The settings.
            feature_types: Types of the row id and of the features passed through, where the rows are tf.Examples.
            folder: Takes files and records.
            metadata: What Parquet files of results hold beside the rows.
        """
        super().__init__()
        self._model_files = models
        self._handle = handle
        self._settings = settings
        self._feature_types = dict(feature_types)
        self._folder = folder
        self._metadata = dict(metadata)

    def setup(self) -> None:
        """Loads the models, unless this process has them."""
        settings = self._settings
        settings.model_options.apply()
        # Held here as well: the handle does not keep it.
        self._models = self._model_files.load(self._handle)
        self._format = OUTPUT_FORMATS[settings.output_format]
        keeps_records = self._format.keeps_records or settings.write_examples
        self._scorer = RowScorer(self._models, settings.row_id, settings.passthrough_features, keeps_records)
        self._read: Callable[..., Iterator[RowBatch]]
        if self._model_files.on_features:
            columns = ParquetFeatures(settings.silo_key, settings.named_features, self._models.input_names)
            self._read = functools.partial(row_batches.read_parquet, features=columns)
        else:
            features = ExampleFeatures(settings.silo_key, self._feature_types)
            self._read = functools.partial(row_batches.read_examples, features=features)
        self._progress = Progress()

    def process(self, element: Shard) -> None:
        """Scores one shard."""
        if shard_record.is_finished(self._folder, element):
            return
        record = ShardRecord(work_folder.fingerprint(element.uri))
        try:
            self._score(element, record)
        except ShardError as error:
            record.problem = str(error)
        shard_record.write(self._folder, element, record)

    def _score(self, shard: Shard, record: ShardRecord) -> None:
        results, letters = self._files(shard, record)
        counts: Counter[tuple[str | None, str]] = Counter()
        with self._examples_writer(shard) as write_examples:
            for batch in self._scored_batches(shard, record):
                with self._progress.stage("write"):
                    for table in batch.scored:
                        record.outputs = record.outputs or _outputs(table.schema)
                        results.add(table)
                    for table in batch.dead_letters:
                        silos, reasons = table.column(SILO).to_pylist(), table.column("reason").to_pylist()
                        counts.update(zip(silos, reasons, strict=True))
                        letters.add(table)
                    write_examples(batch.scored)
                self._give_up(shard, record.rows, counts)
            with self._progress.stage("write"):
                results.flush()
                letters.flush()
        record.files, record.index = results.written, results.index
        record.dead_letter_files = [
            dataclasses.replace(file, path=f"{DEAD_LETTERS}/{file.path}") for file in letters.written
        ]
        record.dead_letters = [(silo, reason, rows) for (silo, reason), rows in counts.items()]

    def _scored_batches(self, shard: Shard, record: ShardRecord) -> Iterator[ScoredBatch]:
        settings = self._settings
        batches = self._read(shard, batch_size=settings.batch_size, batch_bytes=settings.batch_bytes)
        while True:
            with self._progress.stage("read"):
                rows: RowBatch | None = next(batches, None)
            if rows is None:
                return
            try:
                with self._progress.stage("score"):
                    batch = self._scorer.score(rows)
            except ShardError as error:
                raise ShardError(
                    f"shard {shard.source} ({shard.uri}), batch that starts at row {rows.positions[0]}: {error}"
                ) from None
            record.rows += len(rows.positions)
            self._progress.count(len(rows.positions), sum(map(len, batch.dead_letters)), shard.source)
            yield batch

    def _give_up(self, shard: Shard, rows: int, counts: Counter[tuple[str | None, str]]) -> None:
        if self._settings.maximum_dead_letter_share == 0 and counts.total() >= _MOST_DEAD_LETTERS:
            reasons = Counter(reason for _, reason in counts.elements())
            described = ", ".join(f"{reason}: {number}" for reason, number in reasons.most_common())
            raise ShardError(
                f"shard {shard.source} ({shard.uri}): {counts.total()} of the first {rows} rows cannot be scored "
                f"({described})"
            )

    def _files(self, shard: Shard, record: ShardRecord) -> tuple[ShardFiles, ShardFiles]:
        """Returns what takes the results, and what takes the dead letters."""
        layout = LAYOUTS[self._settings.layout]

        def write_row_ids(flush: int, table: pa.Table) -> None:
            if ROW_ID in table.column_names:
                record.row_id_files.append(f"{shard.number:05d}-{flush:05d}")
                row_ids.write(f"{self._folder.row_ids}/{record.row_id_files[-1]}", table.column(ROW_ID))

        results = ShardFiles(
            self._folder.results, shard, layout, self._format, _BUFFER_BYTES, self._metadata, write_row_ids
        )
        with_records = dataclasses.replace(OUTPUT_FORMATS["parquet"], keeps_records=True)
        folder = f"{self._folder.results}/{DEAD_LETTERS}"
        return results, ShardFiles(folder, shard, layout, with_records, _BUFFER_BYTES, self._metadata)

    def _examples_writer(self, shard: Shard) -> contextlib.AbstractContextManager[added_predictions.Write]:
        if self._settings.write_examples:
            return added_predictions.writer(self._folder.output_examples, shard)
        return contextlib.nullcontext(lambda scored: None)


def _outputs(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Returns type and shape per row of each output."""
    outputs = {}
    for field in schema:
        if field.metadata and SHAPE in field.metadata:
            kind = field.type
            while pa.types.is_list(kind):
                kind = kind.value_type
            dtype = "string" if pa.types.is_binary(kind) else np.dtype(kind.to_pandas_dtype()).name
            outputs[field.name] = {"dtype": dtype, "shape": json.loads(field.metadata[SHAPE])}
    return outputs
