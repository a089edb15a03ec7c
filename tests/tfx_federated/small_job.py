"""A job small enough that its start is what takes the time."""

import pathlib

import numpy as np

from tff_runtime import job as job_lib

MODULE = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    x = tf.keras.Input((2,), name="x")
    model = tf.keras.Model(x, tf.keras.layers.Dense(1, activation="sigmoid")(x))
    return FederatedModel(model, loss=tf.keras.losses.BinaryCrossentropy())
"""


def write(folder: pathlib.Path, rounds: int, module: str = MODULE, **choices) -> job_lib.JobDirectory:
    directory = job_lib.JobDirectory(folder / "job")
    (directory.data / "train").mkdir(parents=True)
    np.save(directory.data / "train" / "x.npy", np.eye(2, dtype=np.float32))
    np.save(directory.data / "train" / "y.npy", np.array([[0.0], [1.0]], np.float32))
    job = job_lib.TrainingJob(
        features={"x": job_lib.StoredFeature("float32", (2,), "x.npy")},
        label_key="y",
        label=job_lib.StoredFeature("float32", (1,), "y.npy"),
        silos={"train": (job_lib.SiloRows("a", 0, 1), job_lib.SiloRows("b", 1, 1))},
        train_split="train",
        evaluation_split=None,
        rounds=rounds,
        local_epochs=1,
        batch_size=1,
        client_learning_rate=0.1,
        silo_weighting="examples",
        maximum_silo_share=1.0,
        server_optimizer="sgd",
        server_learning_rate=1.0,
        server_momentum=0.0,
        evaluation_interval=rounds,
        checkpoint_interval=1,
        local_models=False,
        seed=0,
        custom_config={},
        **choices,
    )
    directory.job.write_text(job.to_json())
    directory.module.write_text(module)
    return directory
