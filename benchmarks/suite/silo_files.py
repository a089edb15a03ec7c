"""Writes silos as the artifacts that the FederatedTrainer reads, by the SiloPartitioner's own writer.

The rows of a population are already arrays by silo, so that no Beam pipeline has to group them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.types import standard_artifacts
from tfx_bsl.coders import example_coder

from benchmarks.data import tables
from benchmarks.suite import model_module
from tfx_federated import artifacts, silo_examples, whole_files
from tfx_federated.silo_partitioner import counts, parameters, shard_writer, tally

SILO_KEY = "silo"
LABEL_KEY = "label"

_SCHEMA = """
feature {{ name: "{silo}" type: BYTES presence {{ min_fraction: 1 }} shape {{}} }}
feature {{ name: "{label}" type: FLOAT presence {{ min_fraction: 1 }} shape {{}} }}
feature {{ name: "{inputs}" type: FLOAT presence {{ min_fraction: 1 }} shape {{ dim {{ size: {width} }} }} }}
"""


def serialized(silo: tables.SiloRows) -> Iterator[bytes]:
    """Yields each row of a silo as a serialized tf.Example, its features in alphabetical order."""
    columns = {
        model_module.INPUTS: pa.array(list(silo.features), pa.list_(pa.float32())),
        LABEL_KEY: pa.array(silo.labels[:, np.newaxis].tolist(), pa.list_(pa.float32())),
        SILO_KEY: pa.array([[silo.name.encode()]] * len(silo.labels), pa.list_(pa.binary())),
    }
    for record in example_coder.RecordBatchToExamples(pa.RecordBatch.from_pydict(columns)):
        # The coder's order of features changes from call to call.
        yield tf.train.Example.FromString(record).SerializeToString(deterministic=True)


def write_silo_examples(uri: str, silos_of_split: Mapping[str, Sequence[tables.SiloRows]]) -> types.Artifact:
    """Writes a SiloExamples artifact.

    Args:
        uri: A folder that is not there yet.
        silos_of_split: The silos of each split; those without rows are left out.

    Returns:
        The artifact.
    """
    entries: list[silo_examples.SiloEntry] = []
    rows_in = [(("rows_in", split), sum(len(silo.labels) for silo in silos)) for split, silos in silos_of_split.items()]
    for split, silos in silos_of_split.items():
        shard = silo_examples.shard_uri(uri, split, 0, 1)
        os.makedirs(os.path.dirname(shard))
        rows = (
            (split, silo.name, record)
            for silo in sorted(silos, key=lambda silo: silo.name)
            for record in sorted(serialized(silo))
        )
        with open(shard, "wb") as file:
            entries += shard_writer.write_silos(file, split, 0, rows)
    index = pa.Table.from_pylist([dataclasses.asdict(entry) for entry in entries], schema=silo_examples.INDEX_SCHEMA)
    pq.write_table(index, os.path.join(uri, silo_examples.INDEX_FILE))
    settings = parameters.PartitionParameters.from_exec_properties(
        {
            "silo_key": SILO_KEY,
            "splits": None,
            "minimum_rows": 1,
            "shards": 1,
            "rows_without_silo": "error",
            "maximum_malformed_share": 0.0,
        }
    )
    none_below = shard_writer.BELOW_MINIMUM_SCHEMA.empty_table()
    counted = counts.count_rows(list(silos_of_split), settings, tally.Tally.from_counts(rows_in), index, none_below)
    whole_files.write_json(os.path.join(uri, silo_examples.COUNTS_FILE), counted)
    artifact = artifacts.SiloExamples()
    artifact.uri = uri
    return artifact


def write_schema(uri: str, width: int) -> types.Artifact:
    """Writes the schema of the rows.

    Args:
        uri: A folder that is not there yet.
        width: Number of features.

    Returns:
        The artifact.
    """
    text = _SCHEMA.format(silo=SILO_KEY, label=LABEL_KEY, inputs=model_module.INPUTS, width=width)
    os.makedirs(uri)
    with open(os.path.join(uri, "schema.pbtxt"), "w", encoding="utf-8") as file:
        file.write(text_format.MessageToString(text_format.Parse(text, schema_pb2.Schema())))
    artifact = standard_artifacts.Schema()
    artifact.uri = uri
    return artifact
