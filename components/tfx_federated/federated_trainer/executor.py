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

import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from tff_runtime import job as job_lib
from tff_runtime import silo_weights
from tff_runtime.settings import combinations, encoding, privacy
from tfx_federated import checkpoint_folders, silo_examples, tff_process, whole_files
from tfx_federated.federated_trainer import (
    checkpoint_store,
    device_model,
    feature_specs,
    parameters,
    progress,
    serving_model,
    silo_agreement,
    silo_arrays,
    warm_start,
)

_SETTINGS = (
    "rounds",
    "local_epochs",
    "batch_size",
    "client_learning_rate",
    "silo_weighting",
    "maximum_silo_share",
    "server_optimizer",
    "server_learning_rate",
    "server_momentum",
    "evaluation_interval",
    "checkpoint_interval",
    "seed",
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
        inputs = _Inputs(input_dict, exec_properties["label_key"])
        with _job_directory(self._context) as directory:
            job = _write_job(directory, inputs, exec_properties)
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
            _describe(outputs, job, disagreements)
            store.remove()


class _Inputs:
    """The inputs, and what the Transform graph or the schema says of them."""

    def __init__(self, input_dict: dict[str, list[types.Artifact]], label_key: str) -> None:
        self.reader = silo_examples.SiloExamplesReader(artifact_utils.get_single_uri(input_dict["silo_examples"]))
        self.transform_output: tft.TFTransformOutput | None = None
        if input_dict.get("transform_graph"):
            self.transform_output = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict["transform_graph"]))
            specs = self.transform_output.transformed_feature_spec()
            raw_specs = self.transform_output.raw_feature_spec()
        else:
            file = io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict["schema"]))
            schema = io_utils.parse_pbtxt_file(file, schema_pb2.Schema())
            specs = raw_specs = schema_utils.schema_as_feature_spec(schema).feature_spec
        if self.reader.silo_key not in specs:
            raise feature_specs.FeatureError(
                f"silo key {self.reader.silo_key!r} is not among the features {sorted(specs)} of the "
                f"Transform graph or schema; "
                "return it unchanged from preprocessing_fn"
            )
        self.specs = silo_arrays.StoredSpecs(
            features=feature_specs.dense_numeric(specs, self.reader.silo_key, label_key),
            label_key=label_key,
            label=feature_specs.label(specs, label_key),
        )
        self.model_features = serving_model.ModelFeatures(raw_specs, label_key, self.transform_output)


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


def _write_job(
    directory: job_lib.JobDirectory, inputs: _Inputs, exec_properties: dict[str, Any]
) -> job_lib.TrainingJob:
    module = _read_module(exec_properties["module_file"])
    train_split, evaluation_split = exec_properties["train_split"], exec_properties.get("evaluation_split") or None
    splits = [train_split] if evaluation_split is None else [train_split, evaluation_split]
    shutil.rmtree(directory.data, ignore_errors=True)
    job = job_lib.TrainingJob(
        features=inputs.specs.stored_features(),
        label_key=inputs.specs.label_key,
        label=inputs.specs.stored_label(),
        silos={split: silo_arrays.write_split(inputs.reader, split, inputs.specs, directory) for split in splits},
        train_split=train_split,
        evaluation_split=evaluation_split,
        local_models=bool(exec_properties["local_models"]),
        custom_config=json.loads(exec_properties["custom_config"]),
        **{name: exec_properties[name] for name in _SETTINGS},
        **parameters.decoded(exec_properties),
    )
    _require_enough_silos(job)
    directory.initial_weights.unlink(missing_ok=True)
    directory.module.write_bytes(module)
    directory.job.write_text(job.to_json(), "utf-8")
    return job


def _examined(directory: job_lib.JobDirectory, job: job_lib.TrainingJob) -> list[silo_agreement.Disagreement]:
    """Returns in what silos differ from the others, and tells it; nothing where privacy forbids to tell it."""
    if not isinstance(job.privacy, privacy.NoPrivacy):
        return []
    disagreements = silo_agreement.examine(directory, job)
    silo_agreement.report(disagreements)
    return disagreements


def _checkpoint_store(
    directory: job_lib.JobDirectory, job: job_lib.TrainingJob, inputs: _Inputs, model_uri: str
) -> checkpoint_store.CheckpointStore:
    rows = [entry for split in job.silos for entry in inputs.reader.entries(split)]
    key = checkpoint_store.key(directory, rows)
    return checkpoint_store.CheckpointStore(checkpoint_folders.beside(model_uri, "model", key), key, directory)


def _read_module(module_file: str) -> bytes:
    if not fileio.exists(module_file):
        raise FileNotFoundError(
            f"module_file {module_file} does not exist here; give a path that the machine of the trainer sees"
        )
    with fileio.open(module_file, "rb") as file:
        return file.read()


def _export(result: pathlib.Path, outputs: dict[str, types.Artifact], inputs: _Inputs) -> None:
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
    disagreements: Sequence[silo_agreement.Disagreement],
) -> None:
    silos = job.silos[job.train_split]
    weights = _silo_weights(job)
    run = outputs["federated_run"]
    run.set_int_custom_property("rounds", job.rounds)
    run.set_int_custom_property("silos", len(silos))
    # At the level of silos their numbers of rows are protected, too.
    hides_rows = isinstance(job.privacy, privacy.SiloLevel)
    if not hides_rows:
        run.set_int_custom_property("rows", sum(silo.count for silo in silos))
    run.set_int_custom_property("rejected_updates", _rejected_updates(run.uri))
    if "silo_models" in outputs:
        outputs["silo_models"].set_int_custom_property("silos", len(silos))
    whole_files.write_json(
        os.path.join(run.uri, "agreement.json"), [dataclasses.asdict(disagreement) for disagreement in disagreements]
    )
    whole_files.write_json(
        os.path.join(run.uri, "settings.json"),
        {
            **{name: getattr(job, name) for name in _SETTINGS},
            **{name: encoding.encode(getattr(job, name)) for name in job_lib.CHOICES},
            "local_models": job.local_models,
            "train_split": job.train_split,
            "evaluation_split": job.evaluation_split,
            "label_key": job.label_key,
            "silos": {
                silo.silo: {"rows": None if hides_rows else silo.count, "weight": weight}
                for silo, weight in zip(silos, weights, strict=True)
            },
        },
    )


def _silo_weights(job: job_lib.TrainingJob) -> list[float]:
    rows = [silo.count for silo in job.silos[job.train_split]]
    return silo_weights.weights(rows, job.silo_weighting, job.maximum_silo_share)


def _require_enough_silos(job: job_lib.TrainingJob) -> None:
    """Refuses what so few silos cannot do."""
    silos = len(job.silos[job.train_split])
    combinations.require_enough_silos(job.cohort, job.aggregation, silos)
    size = getattr(job.cohort, "size", silos)
    silo_weights.cap([1.0] * size, job.maximum_silo_share)


def _rejected_updates(run_uri: str) -> int:
    with fileio.open(os.path.join(run_uri, "rounds.jsonl"), "r") as file:
        return sum(len(json.loads(line)["rejected_silos"]) for line in file.read().splitlines())
