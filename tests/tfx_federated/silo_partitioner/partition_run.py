"""Small Examples artifacts, and the real executor run on them."""

import gzip
import json
import os

import apache_beam as beam
import tensorflow as tf
from tfx.types import standard_artifacts

from tfx_federated import artifacts, silo_examples
from tfx_federated.silo_partitioner import executor

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
DEFAULTS = {
    "silo_key": "company",
    "minimum_rows": 1,
    "shards": 3,
    "rows_without_silo": "error",
    "maximum_malformed_share": 0.0,
}


def serialized(**features):
    """Returns a serialized tf.Example; the kind of a feature follows from the type of its value or list of values."""
    example = tf.train.Example()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        if isinstance(values[0], float):
            example.features.feature[name].float_list.value.extend(values)
        elif isinstance(values[0], int):
            example.features.feature[name].int64_list.value.extend(values)
        else:
            as_bytes = [value.encode() if isinstance(value, str) else value for value in values]
            example.features.feature[name].bytes_list.value.extend(as_bytes)
    return example.SerializeToString(deterministic=True)


def examples_artifact(uri, records_of_split, files=1, compressed=True):
    """Writes records to an Examples artifact, dealt round robin to the files of each split."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(uri)
    artifact.split_names = json.dumps(list(records_of_split))
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    open_file, suffix = (gzip.open, ".gz") if compressed else (open, "")
    for split, records in records_of_split.items():
        folder = os.path.join(str(uri), f"Split-{split}")
        os.makedirs(folder)
        for number in range(files):
            path = os.path.join(folder, f"data_tfrecord-{number:05d}-of-{files:05d}{suffix}")
            with open_file(path, "wb") as file:
                file.write(silo_examples.to_byte_range(records[number::files]))
    return artifact


def partition(examples, uri, **parameters):
    """Runs the executor and returns its output artifact."""
    output = artifacts.SiloExamples()
    output.uri = str(uri)
    # A pipeline made here spares the sdist of TFX that the executor builds for remote workers.
    context = executor.Executor.Context(make_beam_pipeline_fn=lambda: beam.Pipeline(argv=[RUNNER]))
    executor.Executor(context).Do({"examples": examples}, {"silo_examples": [output]}, {**DEFAULTS, **parameters})
    return output


def records_of_silos(reader, split):
    """Returns {silo: its records} of one split."""
    return {entry.silo: list(reader.read(entry)) for entry in reader.entries(split)}
