"""The scored models, as the trainer writes them, in the TFF interpreter: `python -m benchmarks.inference.models`."""

from __future__ import annotations

import os
import pathlib
import sys

import numpy as np
import tensorflow as tf

from benchmarks.inference import columns
from tff_runtime import functional_model, prediction
from tff_runtime import job as job_lib
from tff_runtime import model as model_lib

WIDTHS = {"small": (64, 32), "wide": (512, 512, 512)}
SEED = 7


def network(widths: tuple[int, ...]) -> model_lib.FederatedModel:
    """Returns a network of rectified linear layers over the numeric columns, with one probability as its output."""
    inputs = [tf.keras.Input((), dtype=dtype, name=name) for name, dtype in columns.NUMERIC.items()]
    scaled = [tf.cast(value, tf.float32)[:, tf.newaxis] / columns.SCALES[value.name] for value in inputs]
    hidden = tf.keras.layers.Concatenate()(scaled)
    for width in widths:
        hidden = tf.keras.layers.Dense(width, activation="relu")(hidden)
    output = tf.keras.layers.Dense(1, activation="sigmoid")(hidden)
    return model_lib.FederatedModel(tf.keras.Model(inputs, output), loss=tf.keras.losses.BinaryCrossentropy())


def main(folder: pathlib.Path) -> None:
    """Writes `<name>` for each network and `personal`, one small network with a head for each silo."""
    job = _job()
    for name, widths in WIDTHS.items():
        tf.keras.utils.set_random_seed(SEED)
        prediction.save_model(folder / name, network(widths).keras_model, job)
    tf.keras.utils.set_random_seed(SEED)
    made = network(WIDTHS["small"])
    weights = [variable.numpy() for variable in made.keras_model.trainable_variables]
    stacked = [np.broadcast_to(weight, (columns.PERSONAL_SILOS, *weight.shape)).copy() for weight in weights]
    random = np.random.default_rng(SEED)
    for head in stacked[-2:]:
        head += random.normal(0.0, 0.1, head.shape).astype(np.float32)
    model = functional_model.FunctionalModel(lambda: made, job)
    prediction.save_silo_models(folder / "personal", model, stacked, [], columns.personal_silos())
    np.savez(folder / columns.PERSONAL_WEIGHTS, *weights[:-2], *stacked[-2:])


def _job() -> job_lib.TrainingJob:
    """Returns a job of which the models' writers read the features."""
    features = {name: job_lib.StoredFeature(dtype, (), f"{name}.npy") for name, dtype in columns.NUMERIC.items()}
    return job_lib.TrainingJob(
        features=features,
        label_key="delayed",
        label=job_lib.StoredFeature("float32", (1,), "delayed.npy"),
        silos={},
        train_split="train",
        evaluation_split=None,
        rounds=1,
        local_epochs=1,
        batch_size=1,
        client_learning_rate=1.0,
        silo_weighting="examples",
        maximum_silo_share=1.0,
        server_optimizer="sgd",
        server_learning_rate=1.0,
        server_momentum=0.0,
        evaluation_interval=1,
        checkpoint_interval=1,
        local_models=False,
        seed=SEED,
        custom_config={},
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main(pathlib.Path(sys.argv[1]))
