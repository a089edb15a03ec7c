"""The executor of BeamBatchInferrer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from absl import logging
from apache_beam.utils import shared
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tfx_federated import example_files, example_shards, whole_files
from tfx_federated.beam_batch_inferrer import (
    example_features,
    inference_results,
    manifest,
    model_files,
    model_options,
    parquet_shards,
    progress,
    row_ids,
    shard_record,
    work_folder,
)
from tfx_federated.beam_batch_inferrer.model_files import ModelFiles
from tfx_federated.beam_batch_inferrer.row_batches import Shard
from tfx_federated.beam_batch_inferrer.row_scoring import RESERVED_COLUMNS
from tfx_federated.beam_batch_inferrer.settings import Settings
from tfx_federated.beam_batch_inferrer.shard_record import ShardRecord
from tfx_federated.beam_batch_inferrer.shard_scoring import ScoreShard
from tfx_federated.beam_batch_inferrer.work_folder import WorkFolder

# From so many rows the types of named features are read.
_ROWS_LOOKED_AT = 1000


class Executor(base_beam_executor.BaseBeamExecutor):
    """Scores every shard of the examples by the model, and publishes the results when all are done."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component.

        Args:
            input_dict: `model` (one), `examples` (one or more), optionally `model_blessing` and `silo_models` (one).
            output_dict: `inference_result` (one); `output_examples` (one) where it is asked for.
            exec_properties: As `settings.Settings.to_properties` returns them.

        Raises:
            ValueError: A setting is out of range, a split is missing, a model's signature does not take the rows, a
                shard cannot be scored, two rows have the same id, or more rows than allowed cannot be scored.
            FileExistsError: An output folder is not empty.
        """
        settings = Settings.from_properties(exec_properties)
        result = artifact_utils.get_single_instance(output_dict["inference_result"])
        whole_files.require_empty(result.uri, "inference_result")
        examples = input_dict["examples"]
        splits = list(settings.splits or example_files.split_names(examples))
        shards = parquet_shards.find_shards(examples, splits)
        models = _model_files(input_dict)
        own_silos = models.silos()
        _require_examples_can_be_written(settings, models)
        fields = _fields(input_dict, splits, settings)
        skipped_reason = model_files.reason_not_to_score(_one(input_dict, "model_blessing"))
        if skipped_reason:
            logging.warning("BeamBatchInferrer scores nothing: %s", skipped_reason)
            content = manifest.make_manifest(shards, [], fields, skipped_reason, own_silos)
            fileio.makedirs(result.uri)
            whole_files.write_json(f"{result.uri}/{inference_results.MANIFEST}", content)
        else:
            folder = work_folder.beside(result.uri, work_folder.key(models.folders, shards, settings))
            folder.make()
            logging.info("BeamBatchInferrer scores %d shards; what is done lies in %s", len(shards), folder.uri)
            with model_options.restored():
                records = self._score(shards, models, settings, folder, fields)
            manifest.require_no_problem(records)
            content = manifest.make_manifest(shards, records, fields, None, own_silos)
            manifest.require_few_dead_letters(content, settings.maximum_dead_letter_share)
            if settings.row_id is not None:
                self._require_distinct_row_ids(settings.row_id, shards, records, folder)
            work_folder.complete(folder, content, manifest.make_index(records))
            _publish(folder, output_dict, splits, settings)
        _set_custom_properties(result, content)
        logging.info("BeamBatchInferrer scored %d rows of %d shards", content["rows_scored"], len(content["shards"]))

    def _score(
        self,
        shards: Sequence[Shard],
        models: ModelFiles,
        settings: Settings,
        folder: WorkFolder,
        fields: Mapping[str, Any],
    ) -> list[ShardRecord]:
        """Runs the Beam pipeline and returns the records of the shards, in their order."""
        settings.model_options.apply()
        handle = shared.Shared()
        # Held until the pipeline is done, so that a runner within this process does not load the models again.
        loaded = models.load(handle)
        loaded.model.require_columns({*RESERVED_COLUMNS, *settings.passthrough_features})
        feature_types = _feature_types(shards, settings)
        metadata = {
            f"tfx_federated.{name}_{key}": str(value)
            for name in ("model", "silo_models")
            for key, value in (fields[name] or {}).items()
            if value is not None
        }
        score = ScoreShard(models, handle, settings, feature_types, folder, metadata)
        with self._make_beam_pipeline() as pipeline:
            # `Create` spreads its elements over the workers.
            _ = pipeline | "Shards" >> beam.Create(shards) | "Score" >> beam.ParDo(score)
        progress.log_metrics(pipeline.result.metrics())
        del loaded
        return [shard_record.read(folder, shard) for shard in shards]

    def _require_distinct_row_ids(
        self, row_id: str, shards: Sequence[Shard], records: Sequence[ShardRecord], folder: WorkFolder
    ) -> None:
        files = {
            shard.number: [f"{folder.row_ids}/{name}" for name in record.row_id_files]
            for shard, record in zip(shards, records, strict=True)
            if record.row_id_files
        }
        if not files:
            return
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Buckets" >> beam.Create(range(row_ids.BUCKETS))
                | "FindRepeated" >> beam.Map(row_ids.write_repeated, files, folder.row_ids)
            )
        count, numbers = row_ids.read_repeated(folder.row_ids)
        if count:
            named = ", ".join(shards[number].source for number in numbers[:5])
            more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
            raise ValueError(
                f"row_id: {count} values of feature {row_id!r} stand in more than one row, in shards {named}{more}; "
                "name a feature that no two rows share, or leave row_id out"
            )


def _one(input_dict: Mapping[str, list[types.Artifact]], name: str) -> types.Artifact | None:
    return artifact_utils.get_single_instance(input_dict[name]) if input_dict.get(name) else None


def _model_files(input_dict: Mapping[str, list[types.Artifact]]) -> ModelFiles:
    model = artifact_utils.get_single_instance(input_dict["model"])
    silo_models = _one(input_dict, "silo_models")
    return ModelFiles(
        model=path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model)),
        silo_models=silo_models.uri if silo_models else None,
        on_features=parquet_shards.is_parquet(input_dict["examples"]),
    )


def _fields(
    input_dict: Mapping[str, list[types.Artifact]], splits: Sequence[str], settings: Settings
) -> dict[str, Any]:
    """Returns the fields of the manifest that name inputs and settings."""
    silo_models = _one(input_dict, "silo_models")
    return {
        "model": model_files.identity(artifact_utils.get_single_instance(input_dict["model"])),
        "silo_models": model_files.identity(silo_models) if silo_models else None,
        "examples": [artifact.uri for artifact in input_dict["examples"]],
        "splits": list(splits),
        "silo_key": settings.silo_key,
        "row_id": settings.row_id,
        "passthrough_features": list(settings.passthrough_features),
        "output_format": settings.output_format,
        "layout": settings.layout,
    }


def _require_examples_can_be_written(settings: Settings, models: ModelFiles) -> None:
    """Refuses what needs serialized tf.Examples where the input is Parquet."""
    for name, is_asked_for in (
        ("write_examples", settings.write_examples),
        ("output_format='prediction_log'", settings.output_format == "prediction_log"),
    ):
        if is_asked_for and models.on_features:
            raise ValueError(f"{name} puts the predictions beside tf.Examples, and the examples are Parquet")


def _feature_types(shards: Sequence[Shard], settings: Settings) -> dict[str, tf.DType]:
    """Returns the types of the features that are read beside the silo, from the first rows."""
    names = settings.named_features
    records: list[bytes] = []
    for shard in shards if names else ():
        if isinstance(shard, parquet_shards.ParquetShard):
            return {}
        try:
            records = next(example_shards.read_batches(shard, _ROWS_LOOKED_AT), tf.zeros([0], tf.string)).numpy()
        except example_shards.ShardError:
            # The worker that reads it names it, and the other shards are scored.
            continue
        if len(records):
            break
    found = example_features.types_of(records, names)
    missing = [name for name in names if name not in found]
    if missing and len(records):
        raise ValueError(
            f"feature {missing[0]!r}, of row_id or passthrough_features, is in none of the first {len(records)} rows "
            "of the examples; check its name"
        )
    return found


def _publish(
    folder: WorkFolder, output_dict: Mapping[str, list[types.Artifact]], splits: Sequence[str], settings: Settings
) -> None:
    """Gives the whole results their place."""
    if settings.write_examples:
        examples = artifact_utils.get_single_instance(output_dict["output_examples"])
        whole_files.require_empty(examples.uri, "output_examples")
        fileio.rename(folder.output_examples, examples.uri, overwrite=True)
        examples.split_names = artifact_utils.encode_split_names(list(splits))
        examples_utils.set_payload_format(examples, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    result = artifact_utils.get_single_instance(output_dict["inference_result"])
    fileio.rename(folder.results, result.uri, overwrite=True)
    folder.remove()


def _set_custom_properties(result: types.Artifact, content: Mapping[str, Any]) -> None:
    result.set_int_custom_property("scored", int(content["scored"]))
    if content["skipped_reason"]:
        result.set_string_custom_property("skipped_reason", content["skipped_reason"])
    result.set_int_custom_property("rows", content["rows_scored"])
    result.set_int_custom_property("rows_without_silo", content["rows_without_silo"])
    result.set_int_custom_property("dead_letters", sum(content["dead_letters"].values()))
    result.set_int_custom_property("silos", sum(entry["silo"] is not None for entry in content["silos"]))
    result.set_string_custom_property("output_format", content["output_format"])
