"""The job of a training: read from the component's inputs, written for the TFF side, recorded in `settings.json`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from tff_runtime import job as job_lib
from tff_runtime import silo_weights
from tff_runtime.settings import combinations, encoding, privacy
from tfx_federated import silo_examples
from tfx_federated.federated_trainer import feature_specs, parameters, serving_model, silo_arrays

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


class Inputs:
    """The inputs, and what the Transform graph or the schema says of them."""

    def __init__(self, input_dict: Mapping[str, Sequence[types.Artifact]], label_key: str) -> None:
        """Reads them.

        Args:
            input_dict: `silo_examples`, and `transform_graph` or `schema`.
            label_key: Name of the label.

        Raises:
            FeatureError: The silo key, the label or a feature is not as it must be.
        """
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


def write(directory: job_lib.JobDirectory, inputs: Inputs, exec_properties: Mapping[str, Any]) -> job_lib.TrainingJob:
    """Writes the job of a training into its directory.

    Args:
        directory: The job.
        inputs: The component's inputs.
        exec_properties: As in `component.FederatedTrainerSpec`.

    Returns:
        The job.

    Raises:
        ValueError: There are too few silos, an excluded one is unknown, or a feature of a row is not as it must be.
        FileNotFoundError: The module file is missing.
    """
    module = _read_module(exec_properties["module_file"])
    train_split, evaluation_split = exec_properties["train_split"], exec_properties.get("evaluation_split") or None
    splits = [train_split] if evaluation_split is None else [train_split, evaluation_split]
    excluded = _excluded_silos(inputs, exec_properties)
    shutil.rmtree(directory.data, ignore_errors=True)
    job = job_lib.TrainingJob(
        features=inputs.specs.stored_features(),
        label_key=inputs.specs.label_key,
        label=inputs.specs.stored_label(),
        silos={
            split: silo_arrays.write_split(inputs.reader, split, inputs.specs, directory, excluded) for split in splits
        },
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


def _read_module(module_file: str) -> bytes:
    if not fileio.exists(module_file):
        raise FileNotFoundError(
            f"module_file {module_file} does not exist here; give a path that the machine of the trainer sees"
        )
    with fileio.open(module_file, "rb") as file:
        return file.read()


def _excluded_silos(inputs: Inputs, exec_properties: Mapping[str, Any]) -> list[str]:
    excluded = json.loads(exec_properties.get("excluded_silos") or "[]")
    if unknown := sorted(set(excluded) - set(inputs.reader.silos)):
        raise ValueError(
            f"excluded_silos names {unknown[0]!r}, which the silo examples do not have; they have "
            f"{len(inputs.reader.silos)} silos, such as {inputs.reader.silos[0]!r}"
        )
    return excluded


def _require_enough_silos(job: job_lib.TrainingJob) -> None:
    """Refuses what so few silos cannot do."""
    silos = len(job.silos[job.train_split])
    combinations.require_enough_silos(job.cohort, job.aggregation, silos)
    size = getattr(job.cohort, "size", silos)
    silo_weights.cap([1.0] * size, job.maximum_silo_share)


def recorded(job: job_lib.TrainingJob, is_warm_start: bool, excluded_silos: Sequence[str]) -> dict[str, Any]:
    """Returns what `settings.json` of a FederatedRun says of a training, as JSON values.

    Args:
        job: The job.
        is_warm_start: Whether it began with the weights of another model.
        excluded_silos: Silos that were left out of it.
    """
    silos = job.silos[job.train_split]
    weights = silo_weights.weights([silo.count for silo in silos], job.silo_weighting, job.maximum_silo_share)
    return {
        **{name: getattr(job, name) for name in _SETTINGS},
        **{name: encoding.encode(getattr(job, name)) for name in job_lib.CHOICES},
        "local_models": job.local_models,
        "train_split": job.train_split,
        "evaluation_split": job.evaluation_split,
        "label_key": job.label_key,
        "custom_config": job.custom_config,
        "warm_start": is_warm_start,
        "excluded_silos": list(excluded_silos),
        "silos": {
            silo.silo: {"rows": None if hides_rows(job) else silo.count, "weight": weight}
            for silo, weight in zip(silos, weights, strict=True)
        },
    }


def exec_properties(recorded: Mapping[str, Any], module_file: str) -> dict[str, Any]:
    """Returns the execution properties of a training that was recorded, as `write` takes them.

    Args:
        recorded: What `recorded` returned.
        module_file: Its module file.
    """
    kept = ("local_models", "train_split", "evaluation_split", "label_key")
    return {
        **{name: recorded[name] for name in (*_SETTINGS, *kept)},
        **{name: json.dumps(recorded[name]) for name in job_lib.CHOICES},
        "custom_config": json.dumps(recorded["custom_config"]),
        "excluded_silos": json.dumps(recorded["excluded_silos"]),
        "module_file": module_file,
    }


def hides_rows(job: job_lib.TrainingJob) -> bool:
    """Returns whether the silos' numbers of rows are protected, as they are at the level of silos."""
    return isinstance(job.privacy, privacy.SiloLevel)
