"""Examples, models and a run of the executor, small enough for a test."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf
from pyarrow import parquet
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from tfx_federated import artifacts
from tfx_federated.beam_batch_inferrer import executor

BEAM_PIPELINE_ARGS = [
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    # Any image: it keeps TFX from packing itself into a source distribution for the workers.
    "--sdk_container_image=none",
]
FEATURES = {"x": tf.io.FixedLenFeature([], tf.float32)}


def example(x: float | None, silo: str | int | Sequence[str] | None = None) -> bytes:
    """Returns a serialized tf.Example with a float `x` and the silo key `company`; None leaves a feature out."""
    result = tf.train.Example()
    if x is not None:
        result.features.feature["x"].float_list.value.append(x)
    if isinstance(silo, int):
        result.features.feature["company"].int64_list.value.append(silo)
    elif silo is not None:
        values = [silo] if isinstance(silo, str) else silo
        result.features.feature["company"].bytes_list.value.extend(value.encode() for value in values)
    return result.SerializeToString(deterministic=True)


def write_shard(path: str, records: Sequence[bytes]) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path, "GZIP" if path.endswith(".gz") else None) as writer:
        for record in records:
            writer.write(record)
    return path


def examples_artifact(uri: str, shards: dict[str, Sequence[bytes]]) -> standard_artifacts.Examples:
    """Writes an Examples artifact.

    Args:
        uri: Its folder.
        shards: Records by `<split>/<file name>`.
    """
    artifact = standard_artifacts.Examples()
    artifact.uri = str(uri)
    splits = list(dict.fromkeys(name.split("/")[0] for name in shards))
    artifact.split_names = artifact_utils.encode_split_names(splits)
    for name, records in shards.items():
        write_shard(f"{uri}/Split-{name}", records)
    return artifact


class _Model(tf.Module):
    def __init__(self, outputs, features):
        super().__init__()
        self._outputs = outputs
        self._features = features

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples):
        return self._outputs(tf.io.parse_example(examples, self._features))


def save_model(uri: str, outputs: Callable[[dict], dict], features: dict | None = None) -> standard_artifacts.Model:
    """Saves a model whose signatures return `outputs(features)`.

    `serving_default` parses the features from tf.Examples, `features` takes a tensor for each, of fixed length.
    """
    features = features or FEATURES
    module = _Model(outputs, features)
    specs = {name: tf.TensorSpec([None, *spec.shape], spec.dtype, name=name) for name, spec in features.items()}
    on_features = tf.function(lambda **parsed: outputs(parsed)).get_concrete_function(**specs)
    tf.saved_model.save(
        module, f"{uri}/Format-Serving", signatures={"serving_default": module.serve, "features": on_features}
    )
    return model_artifact(uri)


def model_artifact(uri: str) -> standard_artifacts.Model:
    artifact = standard_artifacts.Model()
    artifact.uri = str(uri)
    return artifact


def sigmoid_outputs(parsed: dict) -> dict:
    return {"score": tf.sigmoid(2.0 * parsed["x"] - 1.0)[:, tf.newaxis]}


def expected_score(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-(2.0 * np.asarray(x, np.float64) - 1.0)))


def run(
    model: standard_artifacts.Model,
    examples: Sequence[standard_artifacts.Examples],
    uri: str,
    blessing: standard_artifacts.ModelBlessing | None = None,
    silo_models: artifacts.SiloModels | None = None,
    output_examples: standard_artifacts.Examples | None = None,
    **properties: object,
) -> standard_artifacts.InferenceResult:
    """Runs the executor on Beam and returns the output artifact."""
    result = standard_artifacts.InferenceResult()
    result.uri = str(uri)
    inputs = {"model": [model], "examples": list(examples)}
    inputs |= {"model_blessing": [blessing]} if blessing else {}
    inputs |= {"silo_models": [silo_models]} if silo_models else {}
    outputs = {"inference_result": [result]}
    outputs |= {"output_examples": [output_examples]} if output_examples else {}
    context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=list(BEAM_PIPELINE_ARGS))
    executor.Executor(context).Do(inputs, outputs, {"silo_key": "company", **properties})
    return result


def parquet_artifact(uri: str, tables: dict[str, pa.Table], row_group_size: int = 1000) -> standard_artifacts.Examples:
    """Writes an Examples artifact of Parquet files, as ExampleGen marks it.

    Args:
        uri: Its folder.
        tables: Rows by `<split>/<file name>`.
        row_group_size: Rows in a row group.
    """
    artifact = standard_artifacts.Examples()
    artifact.uri = str(uri)
    artifact.split_names = artifact_utils.encode_split_names(list(dict.fromkeys(name.split("/")[0] for name in tables)))
    examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_PARQUET)
    for name, table in tables.items():
        os.makedirs(os.path.dirname(f"{uri}/Split-{name}"), exist_ok=True)
        parquet.write_table(table, f"{uri}/Split-{name}", row_group_size=row_group_size)
    return artifact


def digests(uri: str) -> dict[str, str]:
    """Returns the SHA-256 of every file below a folder, by relative path."""
    found = {}
    for folder, _, names in os.walk(uri):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, uri)] = hashlib.sha256(file.read()).hexdigest()
    return found


@contextlib.contextmanager
def file_size_limit(limit: int):
    """Makes writing beyond `limit` bytes of a file fail, as on a full disk."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
