"""Small silo examples with a schema, and a module file for them."""

import json
import os
import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from tff_runtime import job as job_lib
from tff_runtime.settings import encoding
from tfx_federated import artifacts
from tfx_federated.silo_partitioner import executor as partitioner_executor

FN_API_RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
SILOS = {"large": 40, "quoted '\"/\n": 9, "one row": 1}

MODULE = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    x = tf.keras.Input((), name="x")
    z = tf.keras.Input((2,), name="z")
    joined = tf.keras.layers.Concatenate()([tf.expand_dims(x, -1), z])
    hidden = tf.keras.layers.Dense(4, activation="tanh")(joined)
    output = tf.keras.layers.Dense(1, activation="sigmoid")(hidden)
    return FederatedModel(
        tf.keras.Model([x, z], output),
        loss=tf.keras.losses.BinaryCrossentropy(),
        metrics=[lambda: tf.keras.metrics.AUC(name="auc")],
    )
"""

SCHEMA = """
feature { name: "company" type: BYTES presence { min_fraction: 1 } shape {} }
feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape {} }
feature { name: "z" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 2 } } }
feature { name: "late" type: INT presence { min_fraction: 1 } shape {} }
"""


def float_feature(*values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def serialized(silo, x, z, label, **others):
    feature = {
        "company": tf.train.Feature(bytes_list=tf.train.BytesList(value=[silo.encode()])),
        "x": float_feature(x),
        "z": float_feature(*z),
        "late": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        **others,
    }
    present = {name: value for name, value in feature.items() if value is not None}
    return tf.train.Example(features=tf.train.Features(feature=present)).SerializeToString()


def rows(rows_of_silo, seed):
    random = np.random.default_rng(seed)
    return [
        serialized(silo, *random.normal(size=(1,)), random.normal(size=2), int(random.integers(0, 2)))
        for silo, count in rows_of_silo.items()
        for _ in range(count)
    ]


def examples_artifact(folder: pathlib.Path, rows_of_split):
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    artifact.split_names = artifact_utils.encode_split_names(list(rows_of_split))
    examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    for split, records in rows_of_split.items():
        os.makedirs(folder / f"Split-{split}")
        with tf.io.TFRecordWriter(str(folder / f"Split-{split}" / "data.gz"), options="GZIP") as writer:
            for record in records:
                writer.write(record)
    return artifact


def silo_examples_artifact(folder: pathlib.Path, rows_of_split, **properties):
    examples = examples_artifact(folder / "examples", rows_of_split)
    output = artifacts.SiloExamples()
    output.uri = str(folder / "silo_examples")
    executor = partitioner_executor.Executor(
        partitioner_executor.Executor.Context(beam_pipeline_args=[FN_API_RUNNER], tmp_dir=str(folder), unique_id="1")
    )
    settings = {
        "silo_key": "company",
        "splits": None,
        "minimum_rows": 1,
        "shards": 2,
        "rows_without_silo": "error",
        "maximum_malformed_share": 0.0,
        **properties,
    }
    executor.Do({"examples": [examples]}, {"silo_examples": [output]}, settings)
    return output


def schema_artifact(folder: pathlib.Path, text=SCHEMA):
    artifact = standard_artifacts.Schema()
    artifact.uri = str(folder)
    folder.mkdir()
    (folder / "schema.pbtxt").write_text(text_format.MessageToString(text_format.Parse(text, schema_pb2.Schema())))
    return artifact


def settings(folder: pathlib.Path, module=MODULE, **changes):
    module_file = folder / "module.py"
    module_file.write_text(module)
    return {
        "module_file": str(module_file),
        "label_key": "late",
        "train_split": "train",
        "evaluation_split": "eval",
        "rounds": 2,
        "local_epochs": 1,
        "batch_size": 8,
        "client_learning_rate": 0.1,
        "silo_weighting": "examples",
        "maximum_silo_share": 1.0,
        "server_optimizer": "sgd",
        "server_learning_rate": 1.0,
        "server_momentum": 0.0,
        "evaluation_interval": 2,
        "checkpoint_interval": 1,
        "local_models": 1,
        "device_model": 0,
        "seed": 3,
        "custom_config": "{}",
        "excluded_silos": "[]",
        **{name: json.dumps(encoding.encode(default)) for name, (_, default) in job_lib.CHOICES.items()},
        **changes,
    }


def outputs(folder: pathlib.Path):
    made = {
        "model": standard_artifacts.Model(),
        "federated_run": artifacts.FederatedRun(),
        "silo_models": artifacts.SiloModels(),
    }
    for name, artifact in made.items():
        artifact.uri = str(folder / name)
        os.makedirs(artifact.uri)
    return {name: [artifact] for name, artifact in made.items()}


def context(folder: pathlib.Path):
    return base_executor.BaseExecutor.Context(stateful_working_dir=str(folder / "stateful"))
