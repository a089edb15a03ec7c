"""Checkpoints under the pipeline root, so that a training goes on after its process, pod or machine is gone.

The TFF side writes its program state into the job directory, which is on the disk of this machine. While it trains, the
store copies what is needed to go on to

    <pipeline root>/.checkpoints/<key>/
        ledger.jsonl                 the privacy ledger, if there is one: written anew with every event of the job
        updates/<SHA-256>            the silos' updates of a round, if they are kept: a file once for all checkpoints
        <version>-<attempt>/
            checkpoints/...          the program state of one round
            result.unfinished/run/.. the records of the rounds up to then
            whole.json               written last: the version, the key, and the SHA-256 of every file

The key is computed from everything that a training depends on, and from nothing else. So a retry of the step, a retry
of the run and a new run with the same inputs find the same checkpoints, and no other training does.

The ledger is no part of a checkpoint: a training that goes on from an earlier round has still spent what it has spent.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from absl import logging
from tfx.dsl.io import fileio

from tff_runtime import job as job_lib
from tfx_federated import silo_examples, whole_files

_MARKER = "whole.json"
_RECORDS = "run"
_LEDGER = "ledger.jsonl"
_UPDATES = "updates"
# Of `tff.program.FileProgramStateManager`: a folder with this name and a number is whole, it was renamed.
_PROGRAM_STATE = re.compile(r"program_state_(\d+)")
# The newest is what a training goes on from; the one before serves where a file of the newest is broken.
_KEPT = 2
# The TFF side keeps as many: the state of a round is not removed as long as it is among them.
_KEPT_BY_TFF = 2
_BYTES_PER_READ = 1 << 20
# The second is what TensorFlow's file systems raise.
_FILE_ERRORS = (OSError, tf.errors.OpError)


def key(directory: job_lib.JobDirectory, rows: Iterable[silo_examples.SiloEntry]) -> str:
    """Returns what identifies a training, in hexadecimal.

    It covers the settings and silos (`job.json`), the user's module, the initial weights of a warm start, the rows, and
    the code of the TFF side: state that another release wrote may mean something else. The Transform graph is not read
    by a training; what it made of the rows is covered with the rows.

    Args:
        directory: The job, with every file written but the data.
        rows: The entries of all silos in all splits that the job reads.
    """
    runtime = pathlib.Path(job_lib.__file__).resolve().parent
    files = [directory.job, directory.module, directory.initial_weights, *sorted(runtime.rglob("*.py"))]
    digests = [_digest(file) for file in files if file.exists()]
    digests += sorted(json.dumps([entry.split, entry.silo, entry.rows, entry.checksum]) for entry in rows)
    return hashlib.sha256("\n".join(digests).encode("utf-8")).hexdigest()


class CheckpointStore:
    """The checkpoints of one training, in a folder that outlives this process.

    A store that cannot be written does not end a training: what fails is logged, and the next checkpoint is tried.
    """

    def __init__(self, uri: str, key: str, directory: job_lib.JobDirectory) -> None:
        """Takes the places.

        Args:
            uri: The folder under the pipeline root, as from `checkpoint_folders.beside`.
            key: Identifies the training; a checkpoint with another key is not restored.
            directory: The job, on this machine.
        """
        self._uri = uri
        self._key = key
        self._directory = directory
        self._ledger = directory.checkpoints / _LEDGER
        self._stored_ledger = os.path.join(uri, _LEDGER)
        self._digest_of_update: dict[tuple[str, int], str] = {}
        self._attempt = uuid.uuid4().hex[:8]
        self._stored = 0

    def restore(self) -> int:
        """Puts the newest whole checkpoint into the job directory, in the place of whatever state is there.

        Returns:
            The number of rounds that the checkpoint holds; 0 if there is none to go on from.
        """
        for version, uri in reversed(self._whole()):
            self._remove_local_state()
            try:
                self._copy_back(uri)
            except (*_FILE_ERRORS, ValueError) as error:
                logging.warning("Checkpoint %s cannot be restored, an older one is tried: %s", uri, error)
                continue
            logging.info("Federated training goes on after round %d, from %s", version, uri)
            self._stored = version
            break
        else:
            self._remove_local_state()
        if fileio.exists(self._stored_ledger):
            _copy(self._stored_ledger, str(self._ledger))
        return self._stored

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Stores the ledger, and the newest checkpoint if it is not stored yet.

        To be called with each event of the job, before the event is shown to anybody.
        """
        try:
            self._store_ledger()
            versions = self._local_versions()
            if versions and versions[-1] > self._stored:
                self._store(versions[-1])
        except _FILE_ERRORS as error:
            logging.warning("The state of the training is not stored at %s: %s", self._uri, error)

    def remove(self) -> None:
        """Removes the checkpoints of this training, which is over."""
        if fileio.exists(self._uri):
            fileio.rmtree(self._uri)

    def _store_ledger(self) -> None:
        if self._ledger.exists():
            fileio.makedirs(self._uri)
            whole_files.write_text(self._stored_ledger, _whole_lines(self._ledger).decode("utf-8"))

    def _store(self, version: int) -> None:
        snapshot = self._directory.path / "checkpoint_to_store"
        shutil.rmtree(snapshot, ignore_errors=True)
        if not self._take_snapshot(version, snapshot):
            return
        uri = os.path.join(self._uri, f"{version:08d}-{self._attempt}")
        digests = {}
        for file in sorted(path for path in snapshot.rglob("*") if path.is_file()):
            relative = file.relative_to(snapshot).as_posix()
            digests[relative] = (
                self._store_update(file) if _is_update(relative) else _copy(str(file), os.path.join(uri, relative))
            )
        whole_files.write_json(
            os.path.join(uri, _MARKER), {"version": version, "key": self._key, "sha256_of_file": digests}
        )
        shutil.rmtree(snapshot)
        self._stored = version
        for _, old in self._whole()[:-_KEPT]:
            fileio.rmtree(old)

    def _store_update(self, file: pathlib.Path) -> str:
        """Stores a file of updates, which does not change any more, if it is not there, and returns its SHA-256."""
        version = (file.name, file.stat().st_mtime_ns)
        if version not in self._digest_of_update:
            digest = _digest(file)
            stored = self._stored_update(digest)
            if not fileio.exists(stored):
                temporary = f"{stored}.partial-{self._attempt}"
                _copy(str(file), temporary)
                fileio.rename(temporary, stored, overwrite=True)
            self._digest_of_update[version] = digest
        return self._digest_of_update[version]

    def _stored_update(self, digest: str) -> str:
        return os.path.join(self._uri, _UPDATES, digest)

    def _take_snapshot(self, version: int, snapshot: pathlib.Path) -> bool:
        """Links the files of a checkpoint, which takes no time, so that training may remove them while they are copied.

        Returns:
            Whether the snapshot is whole: the TFF side has not begun to remove that checkpoint.
        """
        state = f"program_state_{version}"
        try:
            shutil.copytree(
                self._directory.checkpoints / state,
                snapshot / self._directory.checkpoints.name / state,
                copy_function=os.link,
            )
            shutil.copytree(
                self._directory.unfinished_result / _RECORDS,
                snapshot / self._directory.unfinished_result.name / _RECORDS,
                copy_function=_copy_record,
                ignore=shutil.ignore_patterns("*.unfinished"),
            )
        except (FileNotFoundError, shutil.Error):
            # The TFF side removes that checkpoint, or has finished and renamed the records.
            return False
        return version in self._local_versions()[-_KEPT_BY_TFF:]

    def _local_versions(self) -> list[int]:
        if not self._directory.checkpoints.exists():
            return []
        matches = [_PROGRAM_STATE.fullmatch(path.name) for path in self._directory.checkpoints.iterdir()]
        return sorted(int(match[1]) for match in matches if match)

    def _whole(self) -> list[tuple[int, str]]:
        """Returns version and folder of every whole checkpoint, the newest last."""
        if not fileio.exists(self._uri):
            return []
        folders = [os.path.join(self._uri, name.rstrip("/")) for name in fileio.listdir(self._uri)]
        found = []
        for folder in folders:
            marker = os.path.join(folder, _MARKER)
            if fileio.exists(marker):
                fields = whole_files.read_json(marker)
                if fields["key"] == self._key:
                    found.append((fields["version"], folder))
        return sorted(found)

    def _copy_back(self, uri: str) -> None:
        for relative, digest in whole_files.read_json(os.path.join(uri, _MARKER))["sha256_of_file"].items():
            stored = self._stored_update(digest) if _is_update(relative) else os.path.join(uri, relative)
            if _copy(stored, str(self._directory.path / relative)) != digest:
                raise ValueError(f"{relative} is not what was written (SHA-256)")

    def _remove_local_state(self) -> None:
        for folder in (self._directory.checkpoints, self._directory.unfinished_result):
            shutil.rmtree(folder, ignore_errors=True)


def _copy(source: str, target: str) -> str:
    """Copies a file piece by piece and returns the SHA-256 of what was copied."""
    fileio.makedirs(os.path.dirname(target))
    digest = hashlib.sha256()
    with fileio.open(source, "rb") as read, fileio.open(target, "wb") as written:
        # An empty file is written as well: TensorFlow makes a file at its first write.
        piece = None
        while piece != b"":
            piece = read.read(_BYTES_PER_READ)
            digest.update(piece)
            written.write(piece)
    return digest.hexdigest()


def _copy_record(source: str, target: str) -> None:
    """Copies a file of the records, which is being written; of JSON Lines, the lines that are whole.

    A file of updates is replaced by another one, never changed: a link to it does.
    """
    if source.endswith(".jsonl"):
        pathlib.Path(target).write_bytes(_whole_lines(pathlib.Path(source)))
    elif source.endswith(".npz"):
        os.link(source, target)
    else:
        shutil.copyfile(source, target)


def _is_update(relative: str) -> bool:
    return pathlib.PurePosixPath(relative).parent.name == _UPDATES


def _whole_lines(file: pathlib.Path) -> bytes:
    content = file.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _digest(file: pathlib.Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
