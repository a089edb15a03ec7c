"""The model of every workload in Keras, for the contenders that take one."""

from __future__ import annotations

import tensorflow as tf

from benchmarks.trainer import contract


def build(workload: contract.Workload) -> tf.keras.Model:
    """Returns the network with the workload's initial weights; its input is named `features`."""
    features = tf.keras.Input(workload.features.shape[1:], name="features")
    values = features
    layers = list(zip(workload.weights[0::2], workload.weights[1::2], strict=True))
    for number, (kernel, bias) in enumerate(layers, start=1):
        values = tf.keras.layers.Dense(
            len(bias),
            activation="relu" if number < len(layers) else None,
            kernel_initializer=tf.constant_initializer(kernel),
            bias_initializer=tf.constant_initializer(bias),
        )(values)
    return tf.keras.Model(features, values)
