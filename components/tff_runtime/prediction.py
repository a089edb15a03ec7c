"""The trained models as SavedModels of plain TensorFlow: tensors of features in, predictions out.

Each is a `tf.Module` with one function, `predict`. No Keras object is saved, so that another TensorFlow can load it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tff_runtime import functional_model
from tff_runtime import job as job_lib


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
        self._stacked_weights = [tf.Variable(weights, trainable=False) for weights in stacked_weights]
        self._position_of_silo = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(list(silos), tf.string), tf.range(len(silos), dtype=tf.int64)
            ),
            default_value=-1,
        )

    def route(self, features: dict[str, tf.Tensor], silo: tf.Tensor) -> tf.Tensor:
        positions = self._position_of_silo.lookup(silo)
        present, _ = tf.unique(tf.boolean_mask(positions, positions >= 0))
        rows = tf.shape(silo)[0]

        def predictions_of(position: tf.Tensor, mine: tf.Tensor) -> tf.Tensor:
            weights = [tf.gather(stack, position) for stack in self._stacked_weights]
            mine_only = {name: tf.gather(values, mine) for name, values in features.items()}
            return self._predict(weights, self._non_trainable, mine_only)

        shape = predictions_of(tf.zeros((), tf.int64), tf.zeros((0,), tf.int64)).shape[1:]
        predictions = tf.fill(tf.concat([[rows], shape], axis=0), tf.constant(np.nan, tf.float32))
        for position in present:
            tf.autograph.experimental.set_loop_options(shape_invariants=[(predictions, tf.TensorShape([None, *shape]))])
            mine = tf.where(positions == position)
            predictions = tf.tensor_scatter_nd_update(predictions, mine, predictions_of(position, mine[:, 0]))
        return predictions
