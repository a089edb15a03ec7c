"""TensorFlow Federated as it comes: `tff.learning.algorithms.build_weighted_fed_avg`, in the TFF interpreter."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from benchmarks.suite.entrants import contract


def predict(task: contract.Task) -> contract.Matrix:
    """Trains one model over the silos and applies it.

    Args:
        task: The task.
    """
    settings = task.settings
    tf.random.set_seed(settings["seed"])
    width = task.features.shape[1]

    def keras_model() -> tf.keras.Model:
        return tf.keras.Sequential(
            [
                tf.keras.layers.InputLayer((width,)),
                tf.keras.layers.Dense(settings["hidden_units"], activation="relu"),
                tf.keras.layers.Dense(1, activation="sigmoid"),
            ]
        )

    def dataset(number: int) -> tf.data.Dataset:
        rows = task.silo == number
        columns = collections.OrderedDict(x=task.features[rows], y=task.labels[rows][:, np.newaxis])
        shuffled = tf.data.Dataset.from_tensor_slices(columns).shuffle(int(rows.sum()), seed=settings["seed"])
        return shuffled.batch(settings["batch_size"])

    datasets = [dataset(number) for number in np.unique(task.silo)]

    def model_fn() -> Any:
        return tff.learning.models.from_keras_model(
            keras_model(), loss=tf.keras.losses.BinaryCrossentropy(), input_spec=datasets[0].element_spec
        )

    process = tff.learning.algorithms.build_weighted_fed_avg(
        model_fn,
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(settings["learning_rate"]),
        server_optimizer_fn=tff.learning.optimizers.build_sgdm(1.0),
    )
    state = process.initialize()
    for _ in range(settings["rounds"]):
        state = process.next(state, datasets).state
    trained = keras_model()
    process.get_model_weights(state).assign_weights_to(trained)
    return trained.predict(task.test_features, batch_size=4096, verbose=0)[:, 0]


if __name__ == "__main__":
    contract.main(predict)
