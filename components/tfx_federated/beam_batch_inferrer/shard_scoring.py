"""One input shard: rows in, parts and a record of what was done out."""

from __future__ import annotations

import dataclasses
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.utils import shared

from tfx_federated import example_shards, whole_files
from tfx_federated.beam_batch_inferrer.rows import OUTPUT_FORMATS, Rows
from tfx_federated.beam_batch_inferrer.serving_signature import ServingSignature
from tfx_federated.beam_batch_inferrer.silo_column import SiloColumnReader
from tfx_federated.beam_batch_inferrer.silo_parts import SiloCounts, SiloParts
from tfx_federated.example_shards import ExampleShard, ShardError

# Bounds the memory of a worker to about three times as much, whatever the size of the shards.
_BUFFER_BYTES = 64 << 20


@dataclasses.dataclass
class ShardRecord:
    """What came of one shard.

    Attributes:
        rows: Rows read.
        outputs: By output name, type and shape per row of the predictions; empty for a shard without rows.
        silos: What each silo got.
        problem: Why the shard cannot be scored; None if it was.
    """

    rows: int = 0
    outputs: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    silos: list[SiloCounts] = dataclasses.field(default_factory=list)
    problem: str | None = None


class ScoreShard(beam.DoFn):
    """Scores a shard and writes its `ShardRecord` to `<record_uri>/<number>.json`.

    A `ShardError` becomes part of the record: Beam would repeat the shard in vain and hide the reason in a traceback.
    """

    def __init__(
        self,
        model_path: str,
        model_handle: shared.Shared,
        silo_key: str,
        output_uri: str,
        record_uri: str,
        output_format: str,
        batch_size: int,
    ) -> None:
        """Keeps the settings; the model is loaded once per process.

        Args:
            model_path: Folder of the SavedModel.
            model_handle: Names the loaded model among the threads of a process.
            silo_key: Name of the feature that holds the silo.
            output_uri: Folder of the partitions.
            record_uri: Existing folder of the records.
            output_format: A key of `OUTPUT_FORMATS`.
            batch_size: Most rows in one call of the model, at least 1.
        """
        super().__init__()
        self._model_path = model_path
        self._model_handle = model_handle
        self._silo_key = silo_key
        self._output_uri = output_uri
        self._record_uri = record_uri
        self._output_format = output_format
        self._batch_size = batch_size

    def setup(self) -> None:
        """Loads the model, unless this process has it."""
        self._signature = load_model(self._model_handle, self._model_path)
        self._silo_reader = SiloColumnReader(self._silo_key)

    def process(self, element: ExampleShard) -> None:
        """Scores one shard."""
        record = ShardRecord()
        try:
            self._score(element, record)
        except ShardError as error:
            record.problem = str(error)
        whole_files.write_json(record_path(self._record_uri, element), dataclasses.asdict(record))

    def _score(self, shard: ExampleShard, record: ShardRecord) -> None:
        parts = SiloParts(self._output_uri, shard, OUTPUT_FORMATS[self._output_format], _BUFFER_BYTES)
        for batch in example_shards.read_batches(shard, self._batch_size):
            try:
                silos = self._silo_reader.read(batch)
                outputs = self._signature.predict(batch)
                positions = np.arange(record.rows, record.rows + len(batch))
                parts.add(silos, Rows(shard.split, shard.source, positions, batch.numpy(), outputs))
            except ShardError as error:
                raise ShardError(
                    f"shard {shard.source} ({shard.uri}), batch that starts at row {record.rows}: {error}"
                ) from None
            record.outputs = {
                name: {"dtype": "string" if array.dtype == object else array.dtype.name, "shape": list(array.shape[1:])}
                for name, array in outputs.items()
            }
            record.rows += len(batch)
        parts.flush()
        record.silos = parts.counts


def load_model(model_handle: shared.Shared, model_path: str) -> ServingSignature:
    """Returns the model of this process, loading it the first time.

    Raises:
        ValueError: As `ServingSignature`.
    """
    return model_handle.acquire(lambda: ServingSignature(model_path), tag=model_path)


def record_path(record_uri: str, shard: ExampleShard) -> str:
    """Returns the file of a shard's record."""
    return f"{record_uri}/{shard.number:05d}.json"


def read_record(record_uri: str, shard: ExampleShard) -> ShardRecord:
    """Reads what `ScoreShard` wrote.

    Raises:
        ValueError: There is no record: no worker finished the shard.
    """
    try:
        fields = whole_files.read_json(record_path(record_uri, shard))
    except OSError as error:
        raise ValueError(f"no worker finished shard {shard.source} ({shard.uri}); run the component again") from error
    return ShardRecord(**{**fields, "silos": [SiloCounts(**counts) for counts in fields["silos"]]})
