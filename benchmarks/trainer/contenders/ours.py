"""The FederatedTrainer's training, started as the component starts it: a job directory and `python -m tff_runtime`.

The seconds of a round are those that it reports itself, training only. At the end it measures the model on every silo
and writes a SavedModel; both are part of the time of its process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import tensorflow as tf

from benchmarks.trainer import contract, workloads
from tff_runtime import job as job_lib
from tff_runtime.settings import executions

_SPLIT = "train"
_FILES = {"features": "features.npy", "label": "labels.npy"}


def train(workload: contract.Workload, rounds: int, execution: str) -> contract.Result:
    """Trains.

    Args:
        workload: The workload.
        rounds: Number of rounds.
        execution: `in_process`, `native` or `remote`.

    Returns:
        The result.
    """
    with tempfile.TemporaryDirectory() as folder, _execution(execution) as setting:
        directory = write_job(pathlib.Path(folder, "job"), workload, rounds, execution=setting)
        subprocess.run(command(directory), check=True)
        trained = tf.saved_model.load(str(directory.result / "model"))
        weights = [variable.numpy() for variable in trained.model_variables]
        seconds = [event["seconds"] for event in events(directory) if event["event"] == "round"]
    versions = {name: metadata.version(name) for name in ("tfx-federated", "tensorflow-federated", "tensorflow")}
    return contract.Result(weights, seconds, versions)


def write_job(path: pathlib.Path, workload: contract.Workload, rounds: int, **settings: Any) -> job_lib.JobDirectory:
    """Writes a job that trains a workload.

    Args:
        path: Folder to make.
        workload: The workload, as it was read from its folder.
        rounds: Number of rounds.
        settings: More fields of the job.

    Returns:
        The job's directory.
    """
    directory = job_lib.JobDirectory(path)
    (directory.data / _SPLIT).mkdir(parents=True)
    for file in _FILES.values():
        shutil.copyfile(workload.folder / file, directory.data / _SPLIT / file)
    shutil.copyfile(pathlib.Path(__file__).with_name("ours_module.py"), directory.module)
    job = job_lib.TrainingJob(
        features={"features": job_lib.StoredFeature("float32", workload.features.shape[1:], _FILES["features"])},
        label_key="label",
        label=job_lib.StoredFeature("float32", (1,), _FILES["label"]),
        silos={
            _SPLIT: tuple(
                job_lib.SiloRows(workloads.silo_name(number), part.start, part.stop - part.start)
                for number, part in enumerate(workload.parts)
            )
        },
        train_split=_SPLIT,
        evaluation_split=None,
        rounds=rounds,
        local_epochs=1,
        batch_size=workload.batch_size,
        client_learning_rate=workload.learning_rate,
        silo_weighting="examples",
        maximum_silo_share=1.0,
        server_optimizer="sgd",
        server_learning_rate=1.0,
        server_momentum=0.0,
        evaluation_interval=rounds,
        checkpoint_interval=1,
        local_models=False,
        seed=workload.seed,
        custom_config={"workload": str(workload.folder.resolve())},
        **settings,
    )
    directory.job.write_text(job.to_json(), "utf-8")
    return directory


def command(directory: job_lib.JobDirectory) -> list[str]:
    """Returns the command that runs a job."""
    return [sys.executable, "-m", "tff_runtime", str(directory.path)]


def events(directory: job_lib.JobDirectory) -> list[dict[str, Any]]:
    """Returns what a job has reported so far; a line that is being written is left out."""
    if not directory.progress.exists():
        return []
    whole_lines = directory.progress.read_text("utf-8").split("\n")[:-1]
    return [json.loads(line) for line in whole_lines]


@contextlib.contextmanager
def _execution(name: str) -> Iterator[Any]:
    """Yields the setting of that name; for `remote` with one worker per processor on this machine."""
    if name != "remote":
        yield {"in_process": executions.InProcess, "native": executions.Native}[name]()
        return
    with contextlib.ExitStack() as workers:
        ports = [_free_port() for _ in range(os.cpu_count() or 1)]
        for port in ports:
            worker = workers.enter_context(subprocess.Popen([_worker_binary(), f"--port={port}"]))
            workers.callback(worker.kill)
        yield executions.Remote(workers=tuple(f"localhost:{port}" for port in ports))


def _worker_binary() -> str:
    spec = importlib.util.find_spec("tensorflow_federated")
    assert spec is not None
    assert spec.origin is not None
    return str(pathlib.Path(spec.origin).parent / "data/worker_binary")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


if __name__ == "__main__":
    contract.run_contender(train)
