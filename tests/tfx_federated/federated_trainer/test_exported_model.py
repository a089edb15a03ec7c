"""What was really trained, used without what trained it."""

import base64
import json
import subprocess
import sys

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tfx.utils import path_utils

from tests.tfx_federated import small_job
from tfx_federated import tff_process
from tfx_federated.federated_trainer import device_model, serving_model, warm_start

RAW_SPECS = {
    "height": tf.io.FixedLenFeature((), tf.float32),
    "city": tf.io.FixedLenFeature((), tf.string),
    "y": tf.io.FixedLenFeature((), tf.float32),
}
RAW_ROWS = [
    {"height": np.float32(height), "city": city, "y": np.float32(label)}
    for height, city, label in [(1.0, "Oslo", 0.0), (2.0, "Bergen", 1.0), (4.0, "Oslo", 1.0)]
]
# Runs where nothing of this project, of TFX and of TFF can be imported.
ELSEWHERE = """
import base64, importlib.abc, json, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        blocked = ("tfx", "tfx_federated", "tff_runtime", "tensorflow_federated", "tensorflow_transform", "tfx_bsl")
        if name.partition(".")[0] in blocked:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Blocker())
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
examples = tf.constant([base64.b64decode(text) for text in json.loads(sys.argv[2])])
print(json.dumps(model.signatures["serving_default"](examples=examples)["predictions"].numpy().tolist()))
"""


def preprocessing_fn(inputs):
    """Makes the feature `x` of `small_job`, with a table and a computed constant in the graph."""
    city = tf.cast(tft.compute_and_apply_vocabulary(inputs["city"]), tf.float32)
    return {"x": tf.stack([tft.scale_to_z_score(inputs["height"]), city], axis=1), "y": inputs["y"]}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = small_job.write(tmp_path_factory.mktemp("trained"), rounds=2)
    tff_process.run_job(directory, tff_process.find_tff_python(), lambda event: None)
    return directory


@pytest.fixture(scope="module")
def model_uri(directory, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(RAW_SPECS))
    with beam.Pipeline() as pipeline, tft_beam.Context(temp_dir=str(folder / "temporary")):
        rows = pipeline | beam.Create(RAW_ROWS)
        transform = (rows, metadata) | tft_beam.AnalyzeDataset(preprocessing_fn)
        transform | tft_beam.WriteTransformFn(str(folder / "transform"))
    features = serving_model.ModelFeatures(RAW_SPECS, "y", tft.TFTransformOutput(str(folder / "transform")))
    uri = str(folder / "artifact")
    serving_model.save(path_utils.serving_model_dir(uri), directory.result / "model", features)
    return uri


def serialized(row):
    example = tf.train.Example()
    example.features.feature["height"].float_list.value.append(row["height"])
    example.features.feature["city"].bytes_list.value.append(row["city"].encode())
    return example.SerializeToString()


def test_the_serving_model_predicts_under_plain_tensorflow(directory, model_uri):
    texts = [base64.b64encode(serialized(row)).decode() for row in RAW_ROWS]
    completed = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, path_utils.serving_model_dir(model_uri), json.dumps(texts)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    heights = np.array([row["height"] for row in RAW_ROWS])
    # "Oslo" is the more frequent of both.
    cities = [0.0 if row["city"] == "Oslo" else 1.0 for row in RAW_ROWS]
    x = np.stack([(heights - heights.mean()) / heights.std(), cities], axis=1)
    kernel, bias = warm_start.read_weights(model_uri)
    np.testing.assert_allclose(
        json.loads(completed.stdout), 1 / (1 + np.exp(-(x @ kernel + bias))), rtol=1e-5, atol=1e-6
    )


def test_its_signature_is_what_tensorflow_serving_expects(model_uri):
    saved = saved_model_pb2.SavedModel()
    with open(path_utils.serving_model_dir(model_uri) + "/saved_model.pb", "rb") as file:
        saved.ParseFromString(file.read())
    (graph,) = saved.meta_graphs
    assert list(graph.meta_info_def.tags) == ["serve"]
    signature = graph.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert list(signature.inputs) == ["examples"]
    assert signature.inputs["examples"].dtype == tf.string.as_datatype_enum
    assert [dimension.size for dimension in signature.inputs["examples"].tensor_shape.dim] == [-1]
    assert list(signature.outputs) == ["predictions"]
    assert [dimension.size for dimension in signature.outputs["predictions"].tensor_shape.dim] == [-1, 1]


def test_the_weights_of_the_serving_model_are_those_that_were_trained(directory, model_uri):
    trained = tf.saved_model.load(str(directory.result / "model")).model_variables
    for read, expected in zip(warm_start.read_weights(model_uri), trained, strict=True):
        np.testing.assert_array_equal(read, expected.numpy())


def test_the_trained_model_runs_on_devices(directory, tmp_path):
    device_model.export(directory.result / "model", directory, str(tmp_path))
    interpreter = tf.lite.Interpreter(model_path=device_model.path_in(str(tmp_path)))
    runner = interpreter.get_signature_runner("serving_default")
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    trained = tf.saved_model.load(str(directory.result / "model"))
    expected = trained.predict({"x": tf.constant(x)})
    np.testing.assert_allclose(runner(x=x)["predictions"], expected, rtol=1e-5)
