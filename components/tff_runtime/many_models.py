"""A SavedModel that predicts with many sets of weights at once: weights and tensors of features in, predictions out."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tff_runtime import functional_model


def save(
    path: str | os.PathLike[str], model: functional_model.FunctionalModel, non_trainable: Sequence[np.ndarray]
) -> None:
    """Saves `predict(weights, features) -> predictions`, which XLA compiles if it compiles the model.

    `weights` is float32 of shape `(models, parameters)`: the trainable weights of each model, flattened in C order one
    after the other. `features` has the tensors of a batch by name, the same for all models. The predictions have the
    shape `(models, batch, ...)`.

    Args:
        path: Folder to write.
        model: The user's model.
        non_trainable: Its other weights, which all models share.
    """
    module = _ManyModels(model, non_trainable)
    parameters = sum(spec.shape.num_elements() for spec in model.trainable)
    module.predict = tf.function(
        module.predictions, input_signature=[tf.TensorSpec((None, parameters), name="weights"), dict(model.specs)]
    )
    tf.saved_model.save(module, os.fspath(path))


class _ManyModels(tf.Module):
    def __init__(self, model: functional_model.FunctionalModel, non_trainable: Sequence[np.ndarray]) -> None:
        super().__init__()
        self._predict = model.predict
        self._specs = model.trainable
        self._has_silo_axis = model.has_silo_axis
        self._non_trainable = [tf.Variable(weights, trainable=False) for weights in non_trainable]

    def predictions(self, weights: tf.Tensor, features: dict[str, tf.Tensor]) -> tf.Tensor:
        def of_one(flat: tf.Tensor) -> tf.Tensor:
            return self._predict(self._unflattened(flat), self._non_trainable, features)

        if self._has_silo_axis:
            return tf.vectorized_map(of_one, weights, fallback_to_while_loop=False)
        return tf.map_fn(of_one, weights)

    def _unflattened(self, flat: tf.Tensor) -> list[tf.Tensor]:
        ends = itertools.accumulate(spec.shape.num_elements() for spec in self._specs)
        return [
            tf.cast(tf.reshape(flat[end - spec.shape.num_elements() : end], spec.shape), spec.dtype)
            for spec, end in zip(self._specs, ends, strict=True)
        ]
