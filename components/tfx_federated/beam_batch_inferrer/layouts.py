"""Which rows stand in which file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfx_federated.beam_batch_inferrer import partitions
from tfx_federated.beam_batch_inferrer.row_scoring import SILO

# Rows of a row group of several silos; a silo with a quarter of them has row groups of its own.
_ROWS_IN_GROUP = 1 << 16


@dataclasses.dataclass(frozen=True)
class SiloRun:
    """The rows of one silo in a file, side by side.

    Attributes:
        silo: The silo id; None for rows without a silo.
        start: The first row.
        rows: How many.
    """

    silo: str | None
    start: int
    rows: int


@dataclasses.dataclass(frozen=True)
class FileContent:
    """A file to be written.

    Attributes:
        path: Where, below the output's folder, without a suffix.
        table: Its rows, sorted by silo.
        runs: The silos in it; `start` counts from the file's first row.
        row_groups: Lengths of its row groups.
    """

    path: str
    table: pa.Table
    runs: list[SiloRun]
    row_groups: list[int]


def silo_folders(table: pa.Table, name: str) -> Iterator[FileContent]:
    """A file for each silo, in the silo's folder: no file has rows of two silos."""
    table, runs = _sorted_by_silo(table)
    for run in runs:
        rows = table.slice(run.start, run.rows).drop_columns(SILO)
        path = f"{partitions.folder_name(run.silo)}/{name}"
        yield FileContent(path, rows, [dataclasses.replace(run, start=0)], [run.rows])


def sorted_shards(table: pa.Table, name: str) -> Iterator[FileContent]:
    """One file, sorted by silo, with a column `silo`: for so many silos that a file for each is too much."""
    table, runs = _sorted_by_silo(table)
    yield FileContent(name, table, runs, _row_groups(runs))


Layout = Callable[[pa.Table, str], Iterator[FileContent]]
LAYOUTS: Mapping[str, Layout] = {"silo_folders": silo_folders, "sorted_shards": sorted_shards}


def _sorted_by_silo(table: pa.Table) -> tuple[pa.Table, list[SiloRun]]:
    """Sorts by silo (rows without one first, then by the bytes of the id), and inside a silo as before."""
    silos = table.column(SILO).unify_dictionaries().combine_chunks()
    # An empty column has no chunk to combine.
    silos = silos.chunk(0) if isinstance(silos, pa.ChunkedArray) else silos
    names = silos.dictionary.to_pylist()
    by_name = sorted(range(len(names)), key=lambda code: names[code].encode("utf-8"))
    # NumPy sorts 16 bits in linear time.
    rank = np.empty(len(names) + 1, np.int16 if len(names) < 1 << 15 else np.int64)
    rank[by_name] = np.arange(len(names))
    rank[-1] = -1
    ranks = rank[pc.fill_null(silos.indices, -1).to_numpy()]
    order = np.argsort(ranks, kind="stable")
    present, starts, counts = np.unique(ranks[order], return_index=True, return_counts=True)
    runs = [
        SiloRun(None if code < 0 else names[by_name[code]], int(start), int(count))
        for code, start, count in zip(present, starts, counts, strict=True)
    ]
    return table.take(pa.array(order)), runs


def _row_groups(runs: list[SiloRun]) -> list[int]:
    """Lengths of row groups: a large silo begins and ends one, small ones share theirs."""
    lengths: list[int] = []
    shared = 0
    for run in runs:
        is_large = run.rows >= _ROWS_IN_GROUP // 4
        if shared and (is_large or shared + run.rows > _ROWS_IN_GROUP):
            lengths.append(shared)
            shared = 0
        if not is_large:
            shared += run.rows
            continue
        whole, rest = divmod(run.rows, _ROWS_IN_GROUP)
        lengths += [_ROWS_IN_GROUP] * whole + [rest] * (rest > 0)
    return lengths + [shared] * (shared > 0)
