"""Gradients through `tf.vectorized_map` that XLA compiles once for all values.

Inside a function that XLA compiles, vectorized_map makes a function of its own, whose gradient takes shapes and axes in
it as arguments. XLA needs those as constants, and makes constants of the batch and the weights with them: it compiles
anew for each batch. Traced in a graph of its own, loss and gradient are one function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def gradients(loss: tf.Tensor, weights: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Returns the gradient of a loss by each weight, zero where it does not depend on it. For use in `traced_apart`."""
    # Not a GradientTape: it does not see all operations that vectorized_map makes.
    found = tf.gradients(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [
        tf.ensure_shape(tf.convert_to_tensor(gradient), weight.shape)
        for gradient, weight in zip(found, weights, strict=True)
    ]


def traced_apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Returns function(*arguments), where the function is traced in a graph of its own; it must capture no tensor."""
    specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), arguments)
    with tf.init_scope(), tf.Graph().as_default():
        traced = tf.function(function).get_concrete_function(*specs)
    return traced(*arguments)
