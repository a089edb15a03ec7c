"""Small real models, examples and a way to run the executor."""

import json

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format, text_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import artifact_utils, standard_artifacts

from tfx_federated import artifacts
from tfx_federated.fairness_evaluator import executor
from tfx_federated.fairness_evaluator import rules as rules_lib

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
SIZES = {"Nord": 400, 'Süd "AG" \n/1': 120, "<script>alert(1)</script>": 80, "tiny": 7, "one class": 60}
UNKNOWN_TO_LOCAL = "one class"
EVAL_CONFIG = """
  model_specs { label_key: "label" }
  metrics_specs { metrics { class_name: "AUC" } metrics { class_name: "BinaryAccuracy" } }
"""


class _Model(tf.Module):
    def __init__(self, score, features):
        super().__init__()
        self._score = score
        self._features = features

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples):
        return {"prediction": tf.reshape(self._score(tf.io.parse_example(examples, self._features)), [-1, 1])}


def save_model(uri, score, features=None, signature="serving_default"):
    """Saves a model whose signature parses `features` and returns `score` of them, [batch, 1]."""
    model = _Model(score, features or {"x": tf.io.FixedLenFeature([], tf.float32)})
    tf.saved_model.save(model, f"{uri}/Format-Serving", signatures={signature: model.serve})


def weighted(weight):
    return lambda features: tf.sigmoid(weight * features["x"])


def model_artifact(uri, identifier=1, kind=standard_artifacts.Model):
    artifact = kind()
    artifact.uri = str(uri)
    artifact.id = identifier
    return artifact


def example(**features):
    row = tf.train.Example()
    for name, value in features.items():
        feature = row.features.feature[name]
        values = value if isinstance(value, list) else [value]
        if not values:
            continue
        if isinstance(values[0], str | bytes):
            feature.bytes_list.value.extend(item.encode() if isinstance(item, str) else item for item in values)
        elif isinstance(values[0], int):
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return row


def examples_artifact(uri, rows, split="eval"):
    artifact = standard_artifacts.Examples()
    artifact.uri = str(uri)
    artifact.split_names = artifact_utils.encode_split_names([split])
    folder = f"{uri}/Split-{split}"
    tf.io.gfile.makedirs(folder)
    with tf.io.TFRecordWriter(f"{folder}/data-00000-of-00001.gz", "GZIP") as writer:
        for row in rows:
            writer.write(row.SerializeToString())
    return artifact


def silo_rows(sizes=SIZES, seed=7):
    """Returns silo -> (x, label): labels follow x, the better the larger the silo."""
    generator = np.random.default_rng(seed)
    rows = {}
    for silo, size in sizes.items():
        x = generator.normal(size=size).astype(np.float32)
        noise = generator.normal(scale=40 / np.sqrt(size), size=size)
        rows[silo] = (x, np.zeros(size, int) if silo == "one class" else (x + noise > 0.2).astype(int))
    return rows


def config_json(text=EVAL_CONFIG):
    return json_format.MessageToJson(text_format.Parse(text, config_pb2.EvalConfig()))


def run(
    folder, examples, model, baseline=None, local=None, config=EVAL_CONFIG, splits=("eval",), rules=(), **properties
):
    """Runs the executor; returns its output artifacts by name."""
    inputs = {"examples": examples, "model": [model]}
    if baseline:
        inputs["baseline_model"] = [baseline]
    if local:
        inputs["local_models"] = [local]
    outputs = {
        "evaluation": standard_artifacts.ModelEvaluation(),
        "blessing": standard_artifacts.ModelBlessing(),
        "report": artifacts.FairnessReport(),
    }
    for name, artifact in outputs.items():
        artifact.uri = f"{folder}/{name}"
    # Given beam_pipeline_args, TFX builds a wheel of itself for each executor.
    context = executor.Executor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(argv=[RUNNER]), tmp_dir=f"{folder}/tmp", unique_id="1"
    )
    defaults = {
        "silo_key": "silo",
        "metric": "auc",
        "minimum_rows": 50,
        "minimum_class_rows": 5,
        "privacy_minimum": None,
        "confidence": 0.95,
    }
    executor.Executor(context).Do(
        inputs,
        {name: [artifact] for name, artifact in outputs.items()},
        {
            "eval_config": config_json(config),
            "example_splits": json.dumps(list(splits)),
            "rules": rules_lib.encode(rules),
            **defaults,
            **properties,
        },
    )
    return outputs


@pytest.fixture(scope="session")
def rows():
    return silo_rows()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fairness")


@pytest.fixture(scope="session")
def model(folder):
    save_model(f"{folder}/model", weighted(2.0))
    return model_artifact(f"{folder}/model", 11)


@pytest.fixture(scope="session")
def baseline(folder):
    """A model with the order of the candidate reversed: its AUC is one minus the candidate's."""
    save_model(f"{folder}/baseline", weighted(-1.0))
    return model_artifact(f"{folder}/baseline", 12)


@pytest.fixture(scope="session")
def local(folder):
    """Knows every silo but one, for which it answers NaN; ranks by the absolute value of x."""

    def score(features):
        known = features["silo"] != UNKNOWN_TO_LOCAL
        return tf.where(known, tf.sigmoid(tf.abs(features["x"])), float("nan"))

    features = {"x": tf.io.FixedLenFeature([], tf.float32), "silo": tf.io.FixedLenFeature([], tf.string, "")}
    save_model(f"{folder}/local", score, features)
    return model_artifact(f"{folder}/local", 13, artifacts.SiloModels)


@pytest.fixture(scope="session")
def examples(folder, rows):
    """Two artifacts that hold every silo's rows between them, and five rows without a silo."""
    all_rows = [
        example(x=float(value), label=int(label), silo=silo)
        for silo, (x, labels) in rows.items()
        for value, label in zip(x, labels, strict=True)
    ]
    nowhere = [example(x=0.5, label=1), example(x=-0.5, label=0, silo=[]), *[example(x=0.1, label=1, silo="")] * 3]
    return [
        examples_artifact(f"{folder}/examples/1", all_rows[::2]),
        examples_artifact(f"{folder}/examples/2", all_rows[1::2] + nowhere),
    ]
