"""SiloPartitioner executor: one Beam pass over the rows, then the index and the counts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from tfx_federated import example_files, silo_examples, whole_files
from tfx_federated.silo_partitioner import counts as counts_lib
from tfx_federated.silo_partitioner import parameters as parameters_lib
from tfx_federated.silo_partitioner import row_judgement, scratch, set_aside, shard_writer
from tfx_federated.silo_partitioner import tally as tally_lib

EXAMPLES_KEY = "examples"
SILO_EXAMPLES_KEY = "silo_examples"

_TALLY_FILE = "tally.json"
_SKIPPED_SILOS_LOGGED = 20
_COUNT_PROPERTIES = (
    "rows_in",
    "malformed",
    "without_silo",
    "assigned",
    "below_minimum",
    "silos",
    "minimum_rows",
    "shards",
)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of SiloPartitioner."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Groups rows by silo.

        Args:
            input_dict: `examples`: one or several Examples artifacts.
            output_dict: `silo_examples`: one SiloExamples artifact.
            exec_properties: See `SiloPartitioner`.

        Raises:
            ValueError: A parameter is out of range, an input cannot be read, or the rows cannot be partitioned
                (`tally.RowsError`); nothing was written that a reader takes.
            OSError: The output folder is not empty or cannot be written.
        """
        parameters = parameters_lib.PartitionParameters.from_exec_properties(exec_properties)
        examples = input_dict[EXAMPLES_KEY]
        splits = list(parameters.splits or example_files.split_names(examples))
        if not splits:
            raise ValueError(f"input {EXAMPLES_KEY!r}: {len(examples)} artifacts without any split; check its producer")
        patterns = {split: example_files.split_file_patterns(examples, split) for split in splits}
        output = artifact_utils.get_single_instance(output_dict[SILO_EXAMPLES_KEY])
        _prepare(output.uri)
        with self._make_beam_pipeline() as pipeline:
            build_pipeline(pipeline, patterns, output.uri, parameters)
        counts = _finish(output.uri, splits, parameters)
        _set_properties(output, counts)
        _log(counts)


def build_pipeline(
    pipeline: beam.Pipeline,
    patterns: Mapping[str, Sequence[str]],
    uri: str,
    parameters: parameters_lib.PartitionParameters,
) -> None:
    """Adds the steps that write shards, rows put aside and, to the scratch folder, tally and parts of the index.

    Shards are written only after all rows were judged and found acceptable.

    Args:
        pipeline: An empty Beam pipeline.
        patterns: File patterns of TFRecords per split.
        uri: URI of the SiloExamples artifact.
        parameters: The component's parameters.
    """
    rows = [
        pipeline
        | f"Read[{split}][{number}]" >> beam.io.ReadFromTFRecord(pattern)
        | f"NameSplit[{split}][{number}]" >> beam.Map(lambda record, split: (split, record), split=split)
        for split in patterns
        for number, pattern in enumerate(patterns[split])
    ]
    judged = (
        rows
        | "Flatten" >> beam.Flatten(pipeline=pipeline)
        | "Judge"
        >> beam.ParDo(row_judgement.JudgeRows(parameters)).with_outputs(
            row_judgement.SET_ASIDE_OUTPUT, row_judgement.TALLY_OUTPUT, main="kept"
        )
    )
    tally = judged[row_judgement.TALLY_OUTPUT] | "SumTally" >> beam.CombinePerKey(sum)
    acceptable = beam.pvalue.AsSingleton(
        pipeline
        | "Output" >> beam.Create([uri])
        | "WriteTally" >> beam.Map(write_tally, beam.pvalue.AsList(tally), parameters)
    )
    (
        judged["kept"]
        | "GroupByShard" >> beam.GroupByKey()
        | "WriteShards"
        >> beam.ParDo(
            shard_writer.WriteShard(uri, list(patterns), parameters.shards, parameters.minimum_rows), acceptable
        )
    )
    (
        judged[row_judgement.SET_ASIDE_OUTPUT]
        | "GroupSetAside" >> beam.GroupByKey()
        | "WriteSetAside" >> beam.ParDo(set_aside.WriteSetAside(uri, parameters.shards), acceptable)
    )


def write_tally(
    uri: str, counts: list[tuple[tuple[str, ...], int]], parameters: parameters_lib.PartitionParameters
) -> bool:
    """Writes the tally to the scratch folder and returns whether the run may go on."""
    whole_files.write_json(os.path.join(scratch.scratch_uri(uri), _TALLY_FILE), counts)
    return tally_lib.problem(tally_lib.Tally.from_counts(counts), parameters) is None


def _prepare(uri: str) -> None:
    whole_files.require_empty(uri, SILO_EXAMPLES_KEY)
    try:
        fileio.makedirs(scratch.scratch_uri(uri))
    except (OSError, tf.errors.OpError) as error:
        raise OSError(
            f"output {SILO_EXAMPLES_KEY!r}: cannot write to {uri}; check that the volume is mounted and that the "
            f"pipeline's user may write there ({error})"
        ) from error


def _finish(uri: str, splits: list[str], parameters: parameters_lib.PartitionParameters) -> dict[str, Any]:
    folder = scratch.scratch_uri(uri)
    tally = tally_lib.Tally.from_counts(whole_files.read_json(os.path.join(folder, _TALLY_FILE)))
    if problem := tally_lib.problem(tally, parameters):
        raise tally_lib.RowsError(problem)
    index = _gather(folder, shard_writer.INDEX_PARTS, silo_examples.INDEX_SCHEMA)
    below_minimum = _gather(folder, shard_writer.BELOW_MINIMUM_PARTS, shard_writer.BELOW_MINIMUM_SCHEMA)
    counts = counts_lib.count_rows(splits, parameters, tally, index, below_minimum)
    if not index.num_rows:
        raise tally_lib.RowsError(
            f"no rows for any silo: each of {len(counts['skipped_silos'])} silos has fewer than minimum_rows = "
            f"{parameters.minimum_rows} rows; lower minimum_rows or check the splits"
        )
    scratch.write_table(folder, os.path.join(uri, silo_examples.INDEX_FILE), index)
    fileio.rmtree(folder)
    whole_files.write_json(os.path.join(uri, silo_examples.COUNTS_FILE), counts)
    return counts


def _gather(folder: str, pattern: str, schema: pa.Schema) -> pa.Table:
    table = scratch.read_tables(os.path.join(folder, pattern), schema)
    return table.sort_by([("split", "ascending"), ("silo", "ascending")]).combine_chunks()


def _set_properties(artifact: types.Artifact, counts: dict[str, Any]) -> None:
    artifact.set_string_custom_property("silo_key", counts["silo_key"])
    artifact.set_string_custom_property("splits", json.dumps(list(counts["splits"])))
    artifact.set_string_custom_property("rows_without_silo", counts["rows_without_silo"])
    for name, value in {
        "rows": counts["kept"],
        "skipped_silos": len(counts["skipped_silos"]),
        **{name: counts[name] for name in _COUNT_PROPERTIES},
    }.items():
        artifact.set_int_custom_property(name, value)


def _log(counts: dict[str, Any]) -> None:
    logging.info(
        "SiloPartitioner: %d rows read; %d kept (%d of them assigned a silo) in %d silos; put aside: %d malformed, %d "
        "without silo; %d in %d silos below minimum_rows = %d.",
        *(counts[name] for name in ("rows_in", "kept", "assigned", "silos", "malformed", "without_silo")),
        counts["below_minimum"],
        len(counts["skipped_silos"]),
        counts["minimum_rows"],
    )
    for skipped in counts["skipped_silos"][:_SKIPPED_SILOS_LOGGED]:
        logging.warning("SiloPartitioner: silo %r skipped: %d rows.", skipped["silo"], skipped["rows"])
