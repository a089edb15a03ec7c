"""The trained models as SavedModels of plain TensorFlow: tensors of features in, predictions out.

Each is a `tf.Module` with one function, `predict`. No Keras object is saved, so that another TensorFlow can load it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime import job as job_lib

# Measured with networks of 33 and 3,000 numbers of their own on one core: a call costs as much as copying so many.
_NUMBERS_COPIED_IN_A_CALL = 65_536
# 64 MiB.
_NUMBERS_AT_ONCE = 1 << 24


def save_model(path: str | os.PathLike[str], keras_model: Any, job: job_lib.TrainingJob) -> None:
    """Saves one model as `predict(features) -> predictions`.

    Args:
        path: Folder to write.
        keras_model: The model with its weights.
        job: The job, for the types of the features: a mapping of name to a tensor of shape `(batch, *shape)`.
    """
    specs = functional_model.feature_specs(keras_model.input_names, job)
    module = tf.Module()
    module.model_variables = keras_model.variables
    module.predict = tf.function(lambda features: keras_model(features, training=False), input_signature=[dict(specs)])
    tf.saved_model.save(module, os.fspath(path))


def save_silo_models(
    path: str | os.PathLike[str],
    model: functional_model.FunctionalModel,
    stacked_weights: Sequence[np.ndarray],
    non_trainable: Sequence[np.ndarray],
    silos: Sequence[str],
) -> None:
    """Saves the models of all silos as one `predict(features, silo) -> predictions`.

    Every row is answered by the model of its silo. The rows of a silo without a model get NaN.

    Args:
        path: Folder to write.
        model: The user's model.
        stacked_weights: The trainable weights, each of shape `(silos, *shape)`.
        non_trainable: The other weights, which all silos share.
        silos: The silos in the order of the first axis of the weights.
    """
    specs = model.specs
    module = _RoutedModel(model, stacked_weights, non_trainable, silos)
    module.predict = tf.function(
        module.route, input_signature=[dict(specs), tf.TensorSpec((None,), tf.string, name="silo")]
    )
    tf.saved_model.save(module, os.fspath(path))


class _RoutedModel(tf.Module):
    """Answers rows by their silos' models, either in one call with weights for each row, or silo by silo.

    The former copies a silo's own weights for each of its rows, the latter costs a call for each silo: with a head for
    each of 10,000 silos, or few large models, that is a difference of orders of magnitude.
    """

    def __init__(
        self,
        model: functional_model.FunctionalModel,
        stacked_weights: Sequence[np.ndarray],
        non_trainable: Sequence[np.ndarray],
        silos: Sequence[str],
    ) -> None:
        super().__init__()
        self._predict = model.predict
        self._non_trainable = [tf.Variable(weights, trainable=False) for weights in non_trainable]
        self._is_shared = [bool((stack == stack[:1]).all()) for stack in stacked_weights]
        self._weights = [
            tf.Variable(stack[0] if is_shared else stack, trainable=False)
            for stack, is_shared in zip(stacked_weights, self._is_shared, strict=True)
        ]
        own = [stack[0] for stack, shared in zip(stacked_weights, self._is_shared, strict=True) if not shared]
        self._own_numbers = sum(weight.size for weight in own)
        self._position_of_silo = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(list(silos), tf.string), tf.range(len(silos), dtype=tf.int64)
            ),
            default_value=-1,
        )
        self._takes_rows_in_one_call = self._can_take_rows_in_one_call(model.specs)

    def _can_take_rows_in_one_call(self, specs: Mapping[str, tf.TensorSpec]) -> bool:
        # A convolution, for one, is vectorized over a known number of its kernels alone.
        try:
            tf.function(self._of_rows).get_concrete_function(tf.TensorSpec((None,), tf.int64), dict(specs))
        except (ValueError, TypeError, NotImplementedError):
            return False
        return True

    def route(self, features: dict[str, tf.Tensor], silo: tf.Tensor) -> tf.Tensor:
        positions = self._position_of_silo.lookup(silo)
        present, _ = tf.unique(positions)
        if self._is_one_call_cheaper(tf.size(present), tf.size(positions)):
            return self._in_one_call(features, positions)
        return self._silo_by_silo(features, positions, present[present >= 0])

    def _is_one_call_cheaper(self, silos: tf.Tensor, rows: tf.Tensor) -> tf.Tensor | bool:
        if not self._takes_rows_in_one_call:
            return False
        copied = tf.cast(rows, tf.float32) * self._own_numbers
        return copied <= tf.cast(silos, tf.float32) * _NUMBERS_COPIED_IN_A_CALL

    def _in_one_call(self, features: dict[str, tf.Tensor], positions: tf.Tensor) -> tf.Tensor:
        undefined = predictions = self._undefined(features)
        # Rows of unknown silos are answered too, by the first silo's model: to leave them out costs more.
        is_known, positions = positions >= 0, tf.maximum(positions, 0)
        # In several calls, in fact, where the copies would fill the memory.
        at_once = max(1, _NUMBERS_AT_ONCE // max(1, self._own_numbers))
        rows = tf.range(tf.size(positions))
        for start in tf.range(0, tf.size(positions), at_once):
            end = start + at_once
            chunk = {name: values[start:end] for name, values in features.items()}
            predicted = self._of_rows(positions[start:end], chunk)
            predictions = tf.tensor_scatter_nd_update(predictions, rows[start:end, tf.newaxis], predicted)
        is_known = tf.reshape(is_known, [-1] + [1] * (predictions.shape.rank - 1))
        return tf.where(is_known, predictions, undefined)

    def _of_rows(self, positions: tf.Tensor, features: dict[str, tf.Tensor]) -> tf.Tensor:
        own = [
            tf.gather(weights, positions)
            for weights, is_shared in zip(self._weights, self._is_shared, strict=True)
            if not is_shared
        ]

        def of_row(row: tuple[list[tf.Tensor], dict[str, tf.Tensor]]) -> tf.Tensor:
            own_weights, batch_of_one = iter(row[0]), {name: value[tf.newaxis] for name, value in row[1].items()}
            weights = [
                weights if is_shared else next(own_weights)
                for weights, is_shared in zip(self._weights, self._is_shared, strict=True)
            ]
            return self._predict(weights, self._non_trainable, batch_of_one)[0]

        return tf.vectorized_map(of_row, (own, features), fallback_to_while_loop=False)

    def _silo_by_silo(self, features: dict[str, tf.Tensor], positions: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        predictions = self._undefined(features)
        for position in present:
            mine = tf.where(positions == position)
            predicted = self._of_silo(position, _rows(features, mine[:, 0]))
            predictions = tf.tensor_scatter_nd_update(predictions, mine, predicted)
        return predictions

    def _of_silo(self, position: tf.Tensor, features: dict[str, tf.Tensor]) -> tf.Tensor:
        weights = [
            weights if is_shared else tf.gather(weights, position)
            for weights, is_shared in zip(self._weights, self._is_shared, strict=True)
        ]
        return self._predict(weights, self._non_trainable, features)

    def _undefined(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        of_no_row = self._of_silo(tf.zeros((), tf.int64), _rows(features, tf.zeros((0,), tf.int64)))
        rows = tf.shape(next(iter(features.values())))[:1]
        return tf.fill(tf.concat([rows, of_no_row.shape[1:]], axis=0), tf.constant(np.nan, of_no_row.dtype))


def _rows(features: dict[str, tf.Tensor], rows: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: tf.gather(values, rows) for name, values in features.items()}
