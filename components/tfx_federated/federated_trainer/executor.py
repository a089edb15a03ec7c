"""The executor of FederatedTrainer."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from tff_runtime import job as job_lib
from tff_runtime.settings import privacy
from tfx_federated import checkpoint_folders, tff_process, whole_files
from tfx_federated.federated_trainer import (
    checkpoint_store,
    device_model,
    parameters,
    progress,
    serving_model,
    silo_agreement,
    training_job,
    warm_start,
)


class Executor(base_executor.BaseExecutor):
    """Writes a job for the TFF interpreter, runs it there, and exports what it trained."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains.

        Args:
            input_dict: `silo_examples`, `transform_graph` or `schema`, and perhaps `base_model`.
            output_dict: `model`, `federated_run` and, with personalised or local models, `silo_models`.
            exec_properties: As in `component.FederatedTrainerSpec`.

        Raises:
            ValueError: A parameter, the label or a feature is not as it must be.
            FileNotFoundError: The module file is missing.
            TffInterpreterError: There is no TFF interpreter.
            TrainingFailedError: The training stopped in the TFF interpreter.
        """
        outputs = {name: artifact_utils.get_single_instance(artifacts) for name, artifacts in output_dict.items()}
        if not (exec_properties["local_models"] or parameters.is_personalized(exec_properties["personalization"])):
            # A kfp component has each of its outputs in every run.
            outputs.pop("silo_models", None)
        for name, artifact in outputs.items():
            whole_files.require_empty(artifact.uri, name)
        parameters.check(exec_properties)
        tff_python = tff_process.find_tff_python(exec_properties.get("tff_python"))
        inputs = training_job.Inputs(input_dict, exec_properties["label_key"])
        with _job_directory(self._context) as directory:
            job = training_job.write(directory, inputs, exec_properties)
            if input_dict.get("base_model"):
                warm_start.write_initial_weights(artifact_utils.get_single_uri(input_dict["base_model"]), directory)
            disagreements = _examined(directory, job)
            store = _checkpoint_store(directory, job, inputs, outputs["model"].uri)
            store.restore()
            with progress.TrainingProgress(job.rounds) as show:

                def on_event(event: Mapping[str, Any]) -> None:
                    # What a round cost is stored before anything of the round is shown.
                    store(event)
                    show(event)

                result = tff_process.run_job(directory, tff_python, on_event)
            _export(result, outputs, inputs)
            if exec_properties["device_model"]:
                device_model.export(result / "model", directory, outputs["model"].uri)
            is_warm_start = directory.initial_weights.exists()
            excluded = json.loads(exec_properties.get("excluded_silos") or "[]")
            _describe(outputs, job, training_job.recorded(job, is_warm_start, excluded), disagreements)
            store.remove()


@contextlib.contextmanager
def _job_directory(context: base_executor.BaseExecutor.Context | None) -> Iterator[job_lib.JobDirectory]:
    """Yields a folder on this machine, which outlives a failure with its log in it.

    It is TFX's own folder for stateful work where there is one: TFX removes that after a success.
    """
    stateful = context.stateful_working_dir if context else None
    if stateful and "://" not in stateful:
        yield job_lib.JobDirectory(pathlib.Path(stateful) / "job")
    else:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="tfx-federated-"))
        yield job_lib.JobDirectory(folder / "job")
        shutil.rmtree(folder)


def _examined(directory: job_lib.JobDirectory, job: job_lib.TrainingJob) -> list[silo_agreement.Disagreement]:
    """Returns in what silos differ from the others, and tells it; nothing where privacy forbids to tell it."""
    if not isinstance(job.privacy, privacy.NoPrivacy):
        return []
    disagreements = silo_agreement.examine(directory, job)
    silo_agreement.report(disagreements)
    return disagreements


def _checkpoint_store(
    directory: job_lib.JobDirectory, job: job_lib.TrainingJob, inputs: training_job.Inputs, model_uri: str
) -> checkpoint_store.CheckpointStore:
    rows = [entry for split in job.silos for entry in inputs.reader.entries(split)]
    key = checkpoint_store.key(directory, rows)
    return checkpoint_store.CheckpointStore(checkpoint_folders.beside(model_uri, "model", key), key, directory)


def _export(result: pathlib.Path, outputs: dict[str, types.Artifact], inputs: training_job.Inputs) -> None:
    run = outputs["federated_run"].uri
    io_utils.copy_dir(str(result / "run"), run)
    if "silo_models" in outputs:
        uri = outputs["silo_models"].uri
        silo = serving_model.SiloFeature(inputs.reader.silo_key, inputs.reader.assigned_silo)
        serving_model.save(
            path_utils.serving_model_dir(uri), result / "silo_models" / "model", inputs.model_features, silo
        )
        for file in ("weights.npz", "silos.json"):
            fileio.copy(str(result / "silo_models" / file), os.path.join(uri, file))
    serving_model.save(path_utils.serving_model_dir(outputs["model"].uri), result / "model", inputs.model_features)


def _describe(
    outputs: dict[str, types.Artifact],
    job: job_lib.TrainingJob,
    recorded: Mapping[str, Any],
    disagreements: Sequence[silo_agreement.Disagreement],
) -> None:
    silos = job.silos[job.train_split]
    run = outputs["federated_run"]
    run.set_int_custom_property("rounds", job.rounds)
    run.set_int_custom_property("silos", len(silos))
    if not training_job.hides_rows(job):
        run.set_int_custom_property("rows", sum(silo.count for silo in silos))
    run.set_int_custom_property("rejected_updates", _rejected_updates(run.uri))
    if "silo_models" in outputs:
        outputs["silo_models"].set_int_custom_property("silos", len(silos))
    whole_files.write_json(
        os.path.join(run.uri, "agreement.json"), [dataclasses.asdict(disagreement) for disagreement in disagreements]
    )
    whole_files.write_json(os.path.join(run.uri, "settings.json"), recorded)


def _rejected_updates(run_uri: str) -> int:
    with fileio.open(os.path.join(run_uri, "rounds.jsonl"), "r") as file:
        return sum(len(json.loads(line)["rejected_silos"]) for line in file.read().splitlines())
