"""What came of one shard, as a file that a later attempt finds."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfx.dsl.io import fileio

from tfx_federated import whole_files
from tfx_federated.beam_batch_inferrer import work_folder
from tfx_federated.beam_batch_inferrer.row_batches import Shard
from tfx_federated.beam_batch_inferrer.shard_files import SiloIndex, WrittenFile
from tfx_federated.beam_batch_inferrer.work_folder import WorkFolder


@dataclasses.dataclass
class ShardRecord:
    """What came of one shard. Paths are below `WorkFolder.results`.

    Attributes:
        fingerprint: Of the input file, see `work_folder.fingerprint`.
        rows: Rows read.
        outputs: By output name, type and shape per row of the predictions; empty where nothing was scored.
        files: The files of results.
        index: Where each silo's rows are in them.
        dead_letters: For each silo (None where it is not known) and reason, the number of rows.
        dead_letter_files: The files of dead letters.
        row_id_files: Names of the files in `WorkFolder.row_ids`.
        problem: Why the shard cannot be scored; None if it was.
    """

    fingerprint: str
    rows: int = 0
    outputs: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    files: list[WrittenFile] = dataclasses.field(default_factory=list)
    index: SiloIndex = dataclasses.field(default_factory=SiloIndex)
    dead_letters: list[tuple[str | None, str, int]] = dataclasses.field(default_factory=list)
    dead_letter_files: list[WrittenFile] = dataclasses.field(default_factory=list)
    row_id_files: list[str] = dataclasses.field(default_factory=list)
    problem: str | None = None


def write(folder: WorkFolder, shard: Shard, record: ShardRecord) -> None:
    """Writes the record of a shard, whose files are whole."""
    whole_files.write_json(_path(folder, shard), dataclasses.asdict(record))


def read(folder: WorkFolder, shard: Shard) -> ShardRecord:
    """Reads the record of a shard.

    Raises:
        ValueError: There is no record: no worker finished the shard.
    """
    if not fileio.exists(_path(folder, shard)):
        raise ValueError(f"no worker finished shard {shard.source} ({shard.uri}); run the component again")
    fields = whole_files.read_json(_path(folder, shard))
    fields["index"] = SiloIndex(**fields["index"])
    for name in ("files", "dead_letter_files"):
        fields[name] = [WrittenFile(**file) for file in fields[name]]
    fields["dead_letters"] = [(silo, reason, rows) for silo, reason, rows in fields["dead_letters"]]
    return ShardRecord(**fields)


def is_finished(folder: WorkFolder, shard: Shard) -> bool:
    """Returns whether a former attempt scored the shard and its files are still there."""
    if not fileio.exists(_path(folder, shard)):
        return False
    record = read(folder, shard)
    if record.problem is not None or record.fingerprint != work_folder.fingerprint(shard.uri):
        return False
    places = [(f"{folder.results}/{file.path}", file.bytes) for file in record.files + record.dead_letter_files]
    return all(fileio.exists(uri) and fileio.stat(uri).length == size for uri, size in places) and all(
        fileio.exists(f"{folder.row_ids}/{name}") for name in record.row_id_files
    )


def _path(folder: WorkFolder, shard: Shard) -> str:
    return f"{folder.records}/{shard.number:05d}.json"
