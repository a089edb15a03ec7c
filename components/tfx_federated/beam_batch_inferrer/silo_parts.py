"""The rows of one input shard on their way into the folders of their silos."""

from __future__ import annotations

import dataclasses
import uuid

import numpy as np
from tfx.dsl.io import fileio

from tfx_federated.beam_batch_inferrer import partitions
from tfx_federated.beam_batch_inferrer.rows import OutputFormat, Rows
from tfx_federated.beam_batch_inferrer.silo_column import NO_SILO, SiloColumn
from tfx_federated.example_shards import ExampleShard, ShardError


@dataclasses.dataclass
class SiloCounts:
    """What one shard gave to one silo.

    Attributes:
        silo: The silo id; None for rows without a silo.
        rows: Rows written.
        bytes: Size of the files.
        files: Names of the files in the silo's folder.
        nan_rows: By output name, rows whose prediction holds a NaN; outputs without any are left out.
    """

    silo: str | None
    rows: int = 0
    bytes: int = 0
    files: list[str] = dataclasses.field(default_factory=list)
    nan_rows: dict[str, int] = dataclasses.field(default_factory=dict)


class SiloParts:
    """Collects scored batches of one shard and writes them silo by silo when enough have come together.

    A file holds rows of one silo, in the order of the shard. Its name follows from the shard and from how often the
    buffer was written before, so that a repeated attempt replaces the files of the former one.
    """

    def __init__(self, output_uri: str, shard: ExampleShard, output_format: OutputFormat, buffer_bytes: int) -> None:
        """Starts with an empty buffer.

        Args:
            output_uri: Folder of all partitions.
            shard: Where the rows come from.
            output_format: How to write them.
            buffer_bytes: The buffer is written as soon as it holds so many bytes, at least 1.
        """
        self._output_uri = output_uri
        self._shard = shard
        self._format = output_format
        self._buffer_bytes = buffer_bytes
        self._counts = {NO_SILO: SiloCounts(None)}
        self._codes: dict[str, int] = {}
        self._shapes: dict[str, list[int]] = {}
        self._batches: list[tuple[np.ndarray, Rows]] = []
        self._bytes = 0
        self._flushes = 0

    @property
    def counts(self) -> list[SiloCounts]:
        """The silos that got rows, in order of first appearance, rows without a silo first."""
        return [counts for counts in self._counts.values() if counts.rows]

    def add(self, silos: SiloColumn, rows: Rows) -> None:
        """Takes one batch.

        Args:
            silos: The silos of the n rows.
            rows: The n rows; outputs of the same shape per row as in the batches before.

        Raises:
            ShardError: An output has another shape per row than before.
        """
        self._require_same_shapes(rows)
        codes = self._shard_codes(silos)
        self._count_nan(codes, rows)
        if not self._format.keeps_examples:
            rows = dataclasses.replace(rows, serialized=np.empty(len(codes), object))
        self._batches.append((codes, rows))
        self._bytes += codes.nbytes + rows.positions.nbytes + sum(array.nbytes for array in rows.outputs.values())
        self._bytes += sum(len(record) for record in rows.serialized if record is not None)
        if self._bytes >= self._buffer_bytes:
            self.flush()

    def flush(self) -> None:
        """Writes what the buffer holds, one file per silo."""
        if not self._batches:
            return
        codes = np.concatenate([codes for codes, _ in self._batches])
        batches = [rows for _, rows in self._batches]
        order = np.argsort(codes, kind="stable")
        positions = np.concatenate([rows.positions for rows in batches])[order]
        serialized = np.concatenate([rows.serialized for rows in batches])[order]
        outputs = {name: np.concatenate([rows.outputs[name] for rows in batches])[order] for name in batches[0].outputs}
        present, starts = np.unique(codes[order], return_index=True)
        for code, start, end in zip(present, starts, [*starts[1:], len(codes)], strict=True):
            part = slice(start, end)
            rows = Rows(
                split=self._shard.split,
                source=self._shard.source,
                positions=positions[part],
                serialized=serialized[part],
                outputs={name: array[part] for name, array in outputs.items()},
            )
            self._write(self._counts[int(code)], rows)
        self._batches = []
        self._bytes = 0
        self._flushes += 1

    def _require_same_shapes(self, rows: Rows) -> None:
        for name, array in rows.outputs.items():
            shape = list(array.shape[1:])
            before = self._shapes.setdefault(name, shape)
            if shape != before:
                raise ShardError(
                    f"output {name!r} has shape {shape} per row, and {before} in an earlier batch; the model's outputs "
                    "must have a fixed shape"
                )

    def _shard_codes(self, silos: SiloColumn) -> np.ndarray:
        codes = [self._codes.setdefault(silo, len(self._codes)) for silo in silos.ids]
        for silo, code in zip(silos.ids, codes, strict=True):
            self._counts.setdefault(code, SiloCounts(silo))
        # NO_SILO is -1: it picks the last element, which therefore is NO_SILO.
        return np.array([*codes, NO_SILO], np.int64)[silos.codes]

    def _count_nan(self, codes: np.ndarray, rows: Rows) -> None:
        for name, array in rows.outputs.items():
            if not np.issubdtype(array.dtype, np.floating):
                continue
            has_nan = np.isnan(array).reshape(len(codes), -1).any(axis=1)
            for code, count in zip(*np.unique(codes[has_nan], return_counts=True), strict=True):
                nan_rows = self._counts[int(code)].nan_rows
                nan_rows[name] = nan_rows.get(name, 0) + int(count)

    def _write(self, counts: SiloCounts, rows: Rows) -> None:
        folder = f"{self._output_uri}/{partitions.folder_name(counts.silo)}"
        name = f"part-{self._shard.number:05d}-{self._flushes:05d}{self._format.suffix}"
        # The leading dot hides what a killed attempt leaves behind from readers of the partitions.
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}"
        fileio.makedirs(folder)
        try:
            self._format.write(temporary, rows)
            counts.bytes += fileio.stat(temporary).length
            fileio.rename(temporary, f"{folder}/{name}", overwrite=True)
        except BaseException:
            if fileio.exists(temporary):
                fileio.remove(temporary)
            raise
        counts.rows += len(rows.positions)
        counts.files.append(name)
