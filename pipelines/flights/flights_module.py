"""What is particular to the flights: their features, run by Transform, and their model.

Transform imports this file under TensorFlow 2.21, the federated trainer under TensorFlow 2.14, where
tensorflow_transform does not exist: hence its import inside `preprocessing_fn`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tff_runtime import model

SILO_KEY = "carrier"
LABEL_KEY = "delayed"
INPUTS = "inputs"

NUMBERS = (
    "scheduled_departure_minute",
    "scheduled_arrival_minute",
    "scheduled_departures",
    "distance",
    "temperature",
    "dew_point",
    "humidity",
    "wind_speed",
    "wind_north",
    "wind_east",
    "precipitation",
    "highest_precipitation",
    "pressure",
    "visibility",
    "lowest_visibility",
    "plane_age",
    "seats",
)
# Weather or aircraft unknown: one indicator each, since their columns are missing together.
INDICATED = ("temperature", "seats")
# Features whose values lie on a long tail.
LOGARITHMIC = {"distance": 1.0, "precipitation": 100.0, "highest_precipitation": 100.0}
LARGEST_Z_SCORE = 4.0
# Integer codes by their number of values, counted from 0; a value out of range, or none, is all zeros.
CODES = {"month": 13, "weekday": 7, "scheduled_hour": 24}
# Names by the size of their vocabulary; every other name, or none, shares one more column.
NAMES = {"origin": 3, "dest": 104}

HIDDEN_UNITS = 32


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Turns raw flights into one vector, the label and the silo.

    The airline is no feature: the model has to do for an airline that it never met. Z-scores and vocabularies are
    those of all silos together, which Transform, run by the operator, sees.

    Args:
        inputs: Raw features by name, each a `tf.SparseTensor` of at most one value a row (the schema fixes no shapes,
            so that a value may be missing at serving).

    Returns:
        `inputs` (float32, [rows, 172]), `delayed` (int64, [rows, 1]) and `carrier` (as it came, missing where missing).
    """
    import tensorflow_transform as tft

    def number(name: str) -> tf.Tensor:
        values = tf.cast(inputs[name].values, tf.float32)
        if name in LOGARITHMIC:
            values = tf.math.log1p(LOGARITHMIC[name] * values)
        known = inputs[name].with_values(values)
        scaled = known.with_values((values - _coarse(tft.mean(known))) / _coarse(tf.sqrt(tft.var(known))))
        return tf.clip_by_value(_coarse(_dense(scaled, 0.0)), -LARGEST_Z_SCORE, LARGEST_Z_SCORE)

    def names_as_one_hot(name: str, size: int) -> tf.Tensor:
        codes = tft.compute_and_apply_vocabulary(
            _dense(inputs[name], ""), top_k=size, num_oov_buckets=1, vocab_filename=name
        )
        return tf.one_hot(codes, size + 1)

    columns = [*(number(name) for name in NUMBERS), *(_is_present(inputs[name]) for name in INDICATED)]
    one_hots = [tf.one_hot(_dense(inputs[name], -1), size) for name, size in CODES.items()]
    one_hots += [names_as_one_hot(name, size) for name, size in NAMES.items()]
    return {
        INPUTS: tf.concat([tf.stack(columns, axis=1), *one_hots], axis=1),
        LABEL_KEY: _dense(inputs[LABEL_KEY], 0)[:, tf.newaxis],
        SILO_KEY: inputs[SILO_KEY],
    }


def _dense(feature: tf.SparseTensor, default: Any) -> tf.Tensor:
    """Returns the value of each row, or the default where a row has none; shape [rows]."""
    one_column = tf.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1])
    return tf.sparse.to_dense(one_column, tf.constant(default, feature.dtype))[:, 0]


def _coarse(number: tf.Tensor) -> tf.Tensor:
    """Rounds to about three digits: later ones depend on how Beam batches the rows, so that runs would differ."""
    return tf.cast(tf.cast(number, tf.bfloat16), tf.float32)


def _is_present(feature: tf.SparseTensor) -> tf.Tensor:
    return _dense(feature.with_values(tf.ones_like(feature.values, tf.float32)), 0.0)


def model_fn(arguments: model.ModelArguments) -> model.FederatedModel:
    """Builds a network of one hidden layer that tells the probability of a delay."""
    inputs = tf.keras.Input(arguments.features[INPUTS].shape, name=INPUTS)
    hidden = tf.keras.layers.Dense(HIDDEN_UNITS, activation="relu", name="hidden")(inputs)
    probability = tf.keras.layers.Dense(1, activation="sigmoid", name="delay")(hidden)
    return model.FederatedModel(
        keras_model=tf.keras.Model(inputs, probability),
        loss=tf.keras.losses.BinaryCrossentropy(),
        metrics=(tf.keras.metrics.AUC,),
    )
