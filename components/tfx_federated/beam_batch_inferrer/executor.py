"""The executor of BeamBatchInferrer."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from absl import logging
from apache_beam.utils import shared
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tfx_federated import example_files, example_shards, whole_files
from tfx_federated.beam_batch_inferrer import inference_results, manifest, shard_scoring
from tfx_federated.beam_batch_inferrer.rows import OUTPUT_FORMATS
from tfx_federated.example_shards import ExampleShard

# The underscore hides the folder from readers of Hive partitions.
_RECORDS = "_shards"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Scores every shard of the examples by the model, and writes the manifest when all are done."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component.

        Args:
            input_dict: `model` (one), `examples` (one or more), optionally `model_blessing` (one).
            output_dict: `inference_result` (one).
            exec_properties: `silo_key`, `output_format`, `batch_size`, and `splits`, a JSON list or None.

        Raises:
            ValueError: A setting is out of range, a split is missing, the model's signature does not take
                serialized tf.Examples, a shard cannot be scored, or a prediction is NaN.
            FileExistsError: The output folder is not empty.
        """
        silo_key, output_format = exec_properties["silo_key"], exec_properties["output_format"]
        batch_size = exec_properties["batch_size"]
        require_valid_settings(silo_key, output_format, batch_size)
        result = artifact_utils.get_single_instance(output_dict["inference_result"])
        whole_files.require_empty(result.uri, "inference_result")
        model = artifact_utils.get_single_instance(input_dict["model"])
        model_path = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
        examples = input_dict["examples"]
        split_property = exec_properties.get("splits")
        splits = json.loads(split_property) if split_property else example_files.split_names(examples)
        shards = example_shards.find_shards(examples, splits)
        skipped_reason = _reason_not_to_score(input_dict.get("model_blessing"))
        if skipped_reason:
            logging.warning("BeamBatchInferrer scores nothing: %s", skipped_reason)
            records = []
        else:
            records = self._score(shards, model_path, silo_key, result.uri, output_format, batch_size)
        content = manifest.make_manifest(
            shards=shards,
            records=records,
            inputs={"model": model.uri, "examples": [artifact.uri for artifact in examples], "splits": splits},
            output_format=output_format,
            skipped_reason=skipped_reason,
        )
        _require_one_folder_per_silo(result.uri, content)
        fileio.makedirs(result.uri)
        whole_files.write_json(f"{result.uri}/{inference_results.MANIFEST}", content)
        _set_custom_properties(result, content)
        logging.info("BeamBatchInferrer scored %d rows of %d shards", content["rows_scored"], len(content["shards"]))

    def _score(
        self,
        shards: Sequence[ExampleShard],
        model_path: str,
        silo_key: str,
        output_uri: str,
        output_format: str,
        batch_size: int,
    ) -> list[shard_scoring.ShardRecord]:
        """Runs the Beam pipeline and returns the records of the shards, in their order."""
        handle = shared.Shared()
        # Held until the pipeline is done, so that a runner within this process does not load the model again.
        signature = shard_scoring.load_model(handle, model_path)
        record_uri = os.path.join(output_uri, _RECORDS)
        fileio.makedirs(record_uri)
        score = shard_scoring.ScoreShard(
            model_path, handle, silo_key, output_uri, record_uri, output_format, batch_size
        )
        with self._make_beam_pipeline() as pipeline:
            _ = pipeline | "Shards" >> beam.Create(shards) | "Score" >> beam.ParDo(score)
        del signature
        records = [shard_scoring.read_record(record_uri, shard) for shard in shards]
        fileio.rmtree(record_uri)
        return records


def require_valid_settings(silo_key: str, output_format: str, batch_size: int) -> None:
    """Checks the execution properties.

    Raises:
        ValueError: `silo_key` is empty, `output_format` is unknown or `batch_size` is below 1.
    """
    if not silo_key:
        raise ValueError("silo_key is empty; give the name of the feature that holds the silo")
    if output_format not in OUTPUT_FORMATS:
        raise ValueError(f"output_format is {output_format!r}; choose one of {', '.join(OUTPUT_FORMATS)}")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; it must be a whole number of at least 1")


def _reason_not_to_score(blessings: Sequence[types.Artifact] | None) -> str | None:
    if not blessings:
        return None
    blessing = artifact_utils.get_single_instance(blessings)
    if model_utils.is_model_blessed(blessing):
        return None
    return f"the model is not blessed by {blessing.uri}"


def _require_one_folder_per_silo(uri: str, content: dict[str, Any]) -> None:
    """Finds silos whose folders are one: on a file system that does not tell `silo=A` from `silo=a`."""
    expected = {entry["folder"] for entry in content["silos"]}
    found = {name.rstrip("/") for name in fileio.listdir(uri)} if fileio.exists(uri) else set()
    if found != expected:
        raise ValueError(
            f"output 'inference_result': {uri} has {len(found)} folders for {len(expected)} silos; its file system "
            "probably ignores case in names: use a pipeline root on one that does not"
        )


def _set_custom_properties(result: types.Artifact, content: dict[str, Any]) -> None:
    result.set_int_custom_property("scored", int(content["scored"]))
    if content["skipped_reason"]:
        result.set_string_custom_property("skipped_reason", content["skipped_reason"])
    result.set_int_custom_property("rows", content["rows_scored"])
    result.set_int_custom_property("rows_without_silo", content["rows_without_silo"])
    result.set_int_custom_property("silos", sum(entry["silo"] is not None for entry in content["silos"]))
    result.set_string_custom_property("output_format", content["output_format"])
