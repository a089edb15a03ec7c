"""Whatever goes wrong, no value of a row is in anything that a pipeline logs, raises or keeps beside the rows."""

import dataclasses
import logging
import traceback

import numpy as np
import pytest
import tensorflow as tf

from tests.tfx_federated import small_job
from tests.tfx_federated.federated_trainer import training_case as case
from tff_runtime import job as job_lib
from tfx_federated import silo_examples, tff_process
from tfx_federated.federated_trainer import feature_specs, progress, silo_arrays

# What every row has in its features, in its label, and in a text beside them; and what shows of it in any notation.
NUMBER, LABEL, TEXT = 7351.25, 918273, "a customer's name"
SENTINELS = [b"7351.2", b"7.3512", b"735125", b"918273", b"9.18273", b"customer"]
ROWS_OF_SILO = 4

CLASSIFIER = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    x = tf.keras.Input((2,), name="x")
    model = tf.keras.Model(x, tf.keras.layers.Dense(3)(x))
    return FederatedModel(model, loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
"""
EMBEDDING = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    x = tf.keras.Input((2,), name="x")
    category = tf.cast(x[:, 0] * 100, tf.int64)
    model = tf.keras.Model(x, tf.keras.layers.Dense(1)(tf.keras.layers.Embedding(4, 2)(category)))
    return FederatedModel(model, loss=tf.keras.losses.MeanSquaredError())
"""
CHECKED = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def checked(rows):
    with tf.control_dependencies([tf.debugging.assert_less(rows, 1.0, message="too large")]):
        return tf.identity(rows)

def model_fn(arguments):
    x = tf.keras.Input((2,), name="x")
    model = tf.keras.Model(x, tf.keras.layers.Dense(1)(tf.keras.layers.Lambda(checked)(x)))
    return FederatedModel(model, loss=tf.keras.losses.MeanSquaredError())
"""


def write_job(folder, module=small_job.MODULE, labels=LABEL, broken_silos=()):
    directory = small_job.write(folder, rounds=2, module=module)
    x = np.full((2 * ROWS_OF_SILO, 2), NUMBER, np.float32) + np.arange(2 * ROWS_OF_SILO)[:, np.newaxis] / 1024
    for silo in broken_silos:
        x[silo * ROWS_OF_SILO, 1] = np.nan
    np.save(directory.data / "train" / "x.npy", x.astype(np.float32))
    np.save(directory.data / "train" / "y.npy", np.full((len(x), 1), labels, np.float32))
    silos = (job_lib.SiloRows("a", 0, ROWS_OF_SILO), job_lib.SiloRows("b", ROWS_OF_SILO, ROWS_OF_SILO))
    job = dataclasses.replace(directory.read_job(), silos={"train": silos}, client_learning_rate=1e-9)
    directory.job.write_text(job.to_json())
    return directory


def kept_beside_the_rows(directory):
    files = [file for file in directory.path.rglob("*") if file.is_file() and directory.data not in file.parents]
    return {str(file): file.read_bytes() for file in files if "python_path" not in file.parts}


def assert_without_values(texts):
    for place, content in texts.items():
        for sentinel in SENTINELS:
            assert sentinel not in content, f"{sentinel} in {place}: ...{_around(content, sentinel)}..."


def _around(content, sentinel):
    return content[max(0, content.index(sentinel) - 300) : content.index(sentinel) + 300]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"broken_silos": (1,)}, None),
        ({"broken_silos": (0, 1)}, "NonFiniteUpdate"),
        ({"module": CLASSIFIER}, "another"),
        ({"module": EMBEDDING}, "another"),
        ({"module": CHECKED}, "another"),
    ],
    ids=[
        "a silo is left out",
        "no silo is left",
        "a class that is none",
        "a category that is none",
        "the user's check",
    ],
)
def test_a_training_shows_no_value_however_it_ends(tmp_path, caplog, monkeypatch, arguments, kind):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    directory = write_job(tmp_path, **arguments)
    ended, said = None, ""
    with caplog.at_level(logging.DEBUG), progress.TrainingProgress(2) as show:
        try:
            tff_process.run_job(directory, tff_process.find_tff_python(), show)
        except tff_process.TrainingFailedError as error:
            ended, said = error.kind, str(error)
    if kind != "another":
        assert ended == kind
    kept = kept_beside_the_rows(directory)
    assert kept[str(directory.progress)].startswith(b'{"event": "started"')
    assert_without_values({**kept, "the exception": said.encode(), "the logs": caplog.text.encode()})


SPECS = silo_arrays.StoredSpecs(
    features={"x": tf.io.FixedLenFeature((), tf.float32), "z": tf.io.FixedLenFeature((2,), tf.float32)},
    label_key="late",
    label=tf.io.FixedLenFeature((), tf.int64),
)
NOTE = {"note": tf.train.Feature(bytes_list=tf.train.BytesList(value=[TEXT.encode()]))}


@pytest.mark.parametrize(
    "row",
    [
        case.serialized("a", NUMBER, (NUMBER,), LABEL, **NOTE),
        case.serialized("a", NUMBER, (NUMBER, NUMBER), LABEL, **NOTE, late=None),
        case.serialized("a", NUMBER, (NUMBER, NUMBER), LABEL, **NOTE, late=case.float_feature(NUMBER)),
        case.serialized("a", NUMBER, (NUMBER, NUMBER), LABEL, late=NOTE["note"]),
    ],
    ids=["too few values", "no label", "a label of another type", "a text in the place of a number"],
)
def test_a_broken_row_is_named_without_its_values(tmp_path, caplog, row):
    artifact = case.silo_examples_artifact(tmp_path, {"train": [row]})
    reader = silo_examples.SiloExamplesReader(artifact.uri)
    with caplog.at_level(logging.DEBUG), pytest.raises(feature_specs.FeatureError, match="silo 'a'") as caught:
        silo_arrays.write_split(reader, "train", SPECS, job_lib.JobDirectory(tmp_path / "job"))
    shown = "".join(traceback.format_exception(caught.value))
    assert_without_values({"the exception": shown.encode(), "the logs": caplog.text.encode()})
