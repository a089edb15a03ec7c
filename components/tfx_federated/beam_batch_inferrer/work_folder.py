"""Where the results of a run lie until they are whole: a folder that outlives the execution.

    <pipeline root>/.checkpoints/<key>/
        results/            becomes the output `inference_result`
        output_examples/    becomes the output of that name, if it is asked for
        row_ids/            hashes of the row ids, see `row_ids`
        records/<n>.json    what came of shard n: written last, when the shard's files are whole

The key is computed from everything that the files depend on. So a retry of the step, a retry of the run and a new run
with the same inputs find the shards that are done, and no other run does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from tfx.dsl.io import fileio

from tfx_federated import checkpoint_folders, whole_files
from tfx_federated.beam_batch_inferrer import inference_results, parquet_files
from tfx_federated.beam_batch_inferrer.row_batches import Shard
from tfx_federated.beam_batch_inferrer.settings import Settings

# The underscore hides the folder from readers of the results.
DEAD_LETTERS = "_dead_letters"
# The end of a file tells it from another of the same length: of a gzip file it holds the checksum of all rows, of a
# Parquet file the places and statistics of all row groups.
_BYTES_COMPARED = 1 << 16
_READ_BYTES = 1 << 20
# Decides whether results are accepted, and not what they are: with another limit, finished shards are still good.
_WITHOUT_INFLUENCE = "maximum_dead_letter_share"


@dataclasses.dataclass(frozen=True)
class WorkFolder:
    """The folder of one run.

    Attributes:
        uri: Where it is.
    """

    uri: str

    @property
    def results(self) -> str:
        """The future output `inference_result`."""
        return f"{self.uri}/results"

    @property
    def output_examples(self) -> str:
        """The future output `output_examples`."""
        return f"{self.uri}/output_examples"

    @property
    def row_ids(self) -> str:
        """Takes the hashes of the row ids."""
        return f"{self.uri}/row_ids"

    @property
    def records(self) -> str:
        """Takes the records of the shards."""
        return f"{self.uri}/records"

    def make(self) -> None:
        """Makes the folders."""
        for folder in (self.results, self.output_examples, self.row_ids, self.records):
            fileio.makedirs(folder)

    def remove(self) -> None:
        """Removes what is left of the folder."""
        fileio.rmtree(self.uri)


def beside(output_uri: str, key: str) -> WorkFolder:
    """Returns the folder of a key under the pipeline root that the output `inference_result` lies under."""
    return WorkFolder(checkpoint_folders.beside(output_uri, "inference_result", key))


def key(models: Sequence[str], shards: Sequence[Shard], settings: Settings) -> str:
    """Returns what identifies a run, in hexadecimal.

    It covers the models' files, the places of the shards, the settings, and this component's code, as another release
    may write other files. What is in a shard, its record says: a shard that was repaired is scored again, alone.

    Args:
        models: Folders of the models.
        shards: The shards.
        settings: The settings.
    """
    code = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    digests = [_digest(str(file)) for file in code]
    for model in models:
        digests += [model, *(_digest(file) for file in _files_below(model))]
    digests += [json.dumps(dataclasses.astuple(shard)) for shard in shards]
    properties = settings.to_properties()
    del properties[_WITHOUT_INFLUENCE]
    digests.append(json.dumps(properties, sort_keys=True))
    return hashlib.sha256("\n".join(digests).encode("utf-8")).hexdigest()


def fingerprint(uri: str) -> str:
    """Returns what tells an input file from another content of it: its length, and a digest of its end."""
    length = fileio.stat(uri).length
    with fileio.open(uri, "rb") as file:
        file.seek(max(0, length - _BYTES_COMPARED))
        return f"{length} {hashlib.sha256(file.read(_BYTES_COMPARED)).hexdigest()}"


def complete(folder: WorkFolder, content: Mapping[str, Any], index: pa.Table) -> None:
    """Makes the results whole: no file is missing, none is left over, and index and manifest are there.

    Args:
        folder: The folder.
        content: The manifest.
        index: The index.

    Raises:
        ValueError: Two silos have one folder, as on a file system that does not tell `silo=A` from `silo=a`.
    """
    listed = {file["path"] for file in content["files"] + content["dead_letter_files"]}
    found = {os.path.relpath(file, folder.results) for file in _files_below(folder.results)}
    if missing := listed - found:
        raise ValueError(
            f"{len(missing)} of {len(listed)} files are not in {folder.results}; its file system probably ignores case "
            "in names: use a pipeline root on one that does not"
        )
    for left_over in found - listed:
        fileio.remove(os.path.join(folder.results, left_over))
    parquet_files.write(f"{folder.results}/{inference_results.INDEX}", index, [len(index)] if len(index) else [])
    whole_files.write_json(f"{folder.results}/{inference_results.MANIFEST}", content)


def _files_below(folder: str) -> list[str]:
    return sorted(os.path.join(path, name) for path, _, names in fileio.walk(folder) for name in names)


def _digest(uri: str) -> str:
    digest = hashlib.sha256()
    with fileio.open(uri, "rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
