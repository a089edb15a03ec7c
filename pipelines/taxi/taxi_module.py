"""What is particular to the taxi rides: their features, run by Transform, and their model.

Transform imports this file under TensorFlow 2.21, the federated trainer under TensorFlow 2.14, where
tensorflow_transform does not exist: hence its import inside `preprocessing_fn`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tff_runtime import model

SILO_KEY = "company"
LABEL_KEY = "generous_tip"
INPUTS = "inputs"

NUMBERS = ("trip_miles", "trip_seconds", "fare")
LARGEST_Z_SCORE = 4.0
# Integer codes by their number of values, counted from 0; a value out of range, or none, is all zeros.
CODES = {
    "trip_start_month": 13,
    "trip_start_day": 8,
    "trip_start_hour": 24,
    "pickup_community_area": 78,
    "dropoff_community_area": 78,
}
# Names by the size of their vocabulary; every other name, or none, shares one more column.
NAMES = {"payment_type": 4}

HIDDEN_UNITS = 16


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Turns raw rides into one vector, the label and the silo.

    Args:
        inputs: Raw features by name, each a `tf.SparseTensor` of at most one value a row.

    Returns:
        `inputs` (float32, [rows, 209]), `generous_tip` (int64, [rows, 1]) and `company` (as it came, missing where
        missing).
    """
    import tensorflow_transform as tft

    def number(name: str) -> tf.Tensor:
        values = tf.math.log1p(tf.cast(inputs[name].values, tf.float32))
        scaled = tft.scale_to_z_score(inputs[name].with_values(values))
        return tf.clip_by_value(_dense(scaled, 0.0), -LARGEST_Z_SCORE, LARGEST_Z_SCORE)

    def names_as_one_hot(name: str, size: int) -> tf.Tensor:
        codes = tft.compute_and_apply_vocabulary(
            _dense(inputs[name], ""), top_k=size, num_oov_buckets=1, vocab_filename=name
        )
        return tf.one_hot(codes, size + 1)

    numbers = tf.stack([number(name) for name in NUMBERS], axis=1)
    one_hots = [tf.one_hot(_dense(inputs[name], -1), size) for name, size in CODES.items()]
    one_hots += [names_as_one_hot(name, size) for name, size in NAMES.items()]
    return {
        INPUTS: tf.concat([numbers, *one_hots], axis=1),
        LABEL_KEY: _dense(inputs[LABEL_KEY], 0)[:, tf.newaxis],
        SILO_KEY: inputs[SILO_KEY],
    }


def _dense(feature: tf.SparseTensor, default: Any) -> tf.Tensor:
    """Returns the value of each row, or the default where a row has none; shape [rows]."""
    one_column = tf.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1])
    return tf.sparse.to_dense(one_column, tf.constant(default, feature.dtype))[:, 0]


def model_fn(arguments: model.ModelArguments) -> model.FederatedModel:
    """Builds a network of one hidden layer that tells the probability of a generous tip."""
    inputs = tf.keras.Input(arguments.features[INPUTS].shape, name=INPUTS)
    hidden = tf.keras.layers.Dense(HIDDEN_UNITS, activation="relu")(inputs)
    probability = tf.keras.layers.Dense(1, activation="sigmoid")(hidden)
    return model.FederatedModel(
        keras_model=tf.keras.Model(inputs, probability),
        loss=tf.keras.losses.BinaryCrossentropy(),
        metrics=(tf.keras.metrics.AUC,),
    )
