"""One TFF runtime for all tests, and small jobs made from arrays."""

import dataclasses
import pathlib

import numpy as np
import pytest

from tff_runtime import job as job_lib
from tff_runtime import tensorflow_environment

# As in the process of a training; no test module is imported yet, and so no TensorFlow.
tensorflow_environment.set_up()

MODULE = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    x = tf.keras.Input(arguments.features["x"].shape, name="x")
    hidden = tf.keras.layers.Dense(4, activation="tanh")(x)
    output = tf.keras.layers.Dense(1, activation="sigmoid")(hidden)
    return FederatedModel(
        tf.keras.Model(x, output),
        loss=tf.keras.losses.BinaryCrossentropy(),
        metrics=[lambda: tf.keras.metrics.AUC(name="auc")],
    )
"""


@pytest.fixture(scope="session", autouse=True)
def runtime():
    from tff_runtime.contexts import native

    with native.native_runtime():
        yield


class JobMaker:
    """Writes job directories whose data are drawn from a logistic model with silos of unequal size."""

    def __init__(self, root: pathlib.Path):
        self._root = root

    def __call__(self, rows_of_silo, module=MODULE, name="job", **changes) -> job_lib.JobDirectory:
        directory = job_lib.JobDirectory(self._root / name)
        silos, arrays = {}, {}
        for seed, split in enumerate(["train", "eval"]):
            random = np.random.default_rng(seed)
            counts = {silo: max(rows // (seed + 1), 1) for silo, rows in rows_of_silo.items()}
            starts = np.cumsum([0, *counts.values()])
            silos[split] = tuple(
                job_lib.SiloRows(silo, int(start), count)
                for (silo, count), start in zip(counts.items(), starts[:-1], strict=True)
            )
            x = random.normal(size=(starts[-1], 3)).astype(np.float32)
            y = (random.random((starts[-1], 1)) < 1 / (1 + np.exp(-x[:, :1] - x[:, 1:2]))).astype(np.float32)
            arrays[split] = {"x.npy": x, "label.npy": y}
        for split, files in arrays.items():
            (directory.data / split).mkdir(parents=True)
            for file, values in files.items():
                np.save(directory.data / split / file, values)
        job = job_lib.TrainingJob(
            features={"x": job_lib.StoredFeature("float32", (3,), "x.npy")},
            label_key="y",
            label=job_lib.StoredFeature("float32", (1,), "label.npy"),
            silos=silos,
            train_split="train",
            evaluation_split="eval",
            rounds=3,
            local_epochs=2,
            batch_size=8,
            client_learning_rate=0.2,
            silo_weighting="examples",
            maximum_silo_share=1.0,
            server_optimizer="sgd",
            server_learning_rate=1.0,
            server_momentum=0.0,
            evaluation_interval=2,
            checkpoint_interval=1,
            local_models=True,
            seed=7,
            custom_config={},
        )
        directory.job.write_text(dataclasses.replace(job, **changes).to_json())
        directory.module.write_text(module)
        return directory


@pytest.fixture
def make_job(tmp_path):
    return JobMaker(tmp_path)
