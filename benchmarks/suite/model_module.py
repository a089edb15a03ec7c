"""The model of every training of the suite, as the FederatedTrainer's module file: the network of the flights."""

from __future__ import annotations

import tensorflow as tf

from tff_runtime import model

INPUTS = "inputs"


def model_fn(arguments: model.ModelArguments) -> model.FederatedModel:
    """Builds a network of one hidden layer that tells the probability of label 1."""
    inputs = tf.keras.Input(arguments.features[INPUTS].shape, name=INPUTS)
    hidden = tf.keras.layers.Dense(arguments.custom_config["hidden_units"], activation="relu", name="hidden")(inputs)
    probability = tf.keras.layers.Dense(1, activation="sigmoid", name="probability")(hidden)
    return model.FederatedModel(
        keras_model=tf.keras.Model(inputs, probability),
        loss=tf.keras.losses.BinaryCrossentropy(),
        metrics=(tf.keras.metrics.AUC,),
    )
