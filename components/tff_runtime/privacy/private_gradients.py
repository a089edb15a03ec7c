"""The gradient of DP-SGD (Abadi et al., arXiv 1607.00133, algorithm 1), of many silos at once.

The gradient of each row is clipped over all tensors together; the clipped gradients of a batch are summed, get Gaussian
noise, and are divided by the *expected* size of the batch. The true size would tell whether a row was drawn.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tff_runtime import traced_gradients

# `FunctionalModel.example_losses`: (trainable weights, other weights, features, labels) -> losses `(silos, batch)`.
ExampleLosses = Callable[[list[tf.Tensor], list[tf.Tensor], Mapping[str, tf.Tensor], tf.Tensor], tf.Tensor]

_PHILOX = 1


class SiloNoise(NamedTuple):
    """How the gradients of some silos are made private.

    Attributes:
        clip_norm: Largest norm of a row's gradient; a scalar.
        noise_multiplier: Standard deviation of the noise on the sum, divided by `clip_norm`; shape `(silos,)`.
        expected_batch_size: What the sum is divided by; shape `(silos,)`.
        keys: From `fresh_keys`, new for each round; uint64, shape `(silos, 2)`.
    """

    clip_norm: tf.Tensor
    noise_multiplier: tf.Tensor
    expected_batch_size: tf.Tensor
    keys: tf.Tensor


def fresh_keys(silos: int) -> np.ndarray:
    """Returns keys of the noise of one round, uint64 of shape `(silos, 2)`, from the operating system.

    Keys that follow from a seed that others know would let them take the noise off again.
    """
    return np.frombuffer(secrets.token_bytes(16 * silos), np.uint64).reshape(silos, 2)


def private_gradients(
    example_losses: ExampleLosses,
    weights: Sequence[tf.Tensor],
    non_trainable: Sequence[tf.Tensor],
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor,
    mask: tf.Tensor,
    noise: SiloNoise,
    step: tf.Tensor,
) -> list[tf.Tensor]:
    """Returns the private gradient of each silo.

    What depends on weights alone, such as a regularization or proximal term, is added by the caller. The loss of a row
    must not depend on other rows. Memory grows with silos times batch times weights.

    Args:
        example_losses: The losses of many silos' batches, each silo under its own weights.
        weights: Weights of each silo, each of shape `(silos, *shape)`.
        non_trainable: Weights that all silos share, without the silo axis.
        features: Values by name, each of shape `(silos, batch, *shape)`.
        labels: Shape `(silos, batch, *shape)`.
        mask: 1 for a row, 0 for padding; shape `(silos, batch)`, known statically.
        noise: Clipping and noise.
        step: Number of the step, from 0. Within a round every step must have another.

    Returns:
        The gradient of each weight, each of shape `(silos, *shape)`.
    """
    sums = clipped_gradient_sums(example_losses, weights, non_trainable, features, labels, mask, noise.clip_norm)
    deviation = noise.noise_multiplier * noise.clip_norm

    def of_silo(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        return tf.reshape(values, [-1] + [1] * (like.shape.rank - 1))

    return [
        (total + of_silo(deviation, total) * standard_noise) / of_silo(noise.expected_batch_size, total)
        for total, standard_noise in zip(sums, _standard_noise(sums, noise.keys, step), strict=True)
    ]


def clipped_gradient_sums(
    example_losses: ExampleLosses,
    weights: Sequence[tf.Tensor],
    non_trainable: Sequence[tf.Tensor],
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor,
    mask: tf.Tensor,
    clip_norm: tf.Tensor,
) -> list[tf.Tensor]:
    """Returns the sums of each silo's clipped row gradients, without noise, each of shape `(silos, *shape)`.

    A row whose gradient's norm is not finite in float32 counts as zero: it, too, must change the sum by `clip_norm` at
    most. Arguments are those of `private_gradients`.
    """
    silos, batch = mask.shape
    scales, gradients = _clipped(example_losses, weights, non_trainable, features, labels, mask, clip_norm)
    sums = []
    for gradient in gradients:
        scale = tf.reshape(scales, [-1] + [1] * (gradient.shape.rank - 1))
        # A selection, because a gradient that is not finite stays so when it is multiplied by 0.
        clipped = tf.where(scale > 0, gradient * scale, 0.0)
        sums.append(tf.reduce_sum(tf.reshape(clipped, (silos, batch, *gradient.shape[1:])), axis=1))
    return sums


def _clipped(
    example_losses: ExampleLosses,
    weights: Sequence[tf.Tensor],
    non_trainable: Sequence[tf.Tensor],
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor,
    mask: tf.Tensor,
    clip_norm: tf.Tensor,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns the factors of the rows' gradients, `(silos * batch,)`, and these, each `(silos * batch, *shape)`."""
    silos, batch = mask.shape
    rows = silos * batch

    def alone(values: tf.Tensor) -> tf.Tensor:
        return tf.reshape(values, (rows, 1, *values.shape[2:]))

    # Every row becomes a silo of its own with a batch of one: one gradient of the summed losses is then that of each.
    own_weights = [tf.ensure_shape(tf.repeat(weight, batch, axis=0), (rows, *weight.shape[1:])) for weight in weights]
    own_features = {name: alone(values) for name, values in features.items()}
    gradients = traced_gradients.traced_apart(
        functools.partial(_gradients, example_losses), own_weights, list(non_trainable), own_features, alone(labels)
    )
    squares = [tf.reduce_sum(tf.square(tf.reshape(gradient, (rows, -1))), axis=1) for gradient in gradients]
    norms = tf.sqrt(tf.add_n(squares))
    takes_part = tf.math.is_finite(norms) & (tf.reshape(mask, [rows]) > 0)
    return tf.where(takes_part, clip_norm / tf.maximum(norms, clip_norm), 0.0), gradients


def _gradients(
    example_losses: ExampleLosses,
    weights: Sequence[tf.Tensor],
    non_trainable: Sequence[tf.Tensor],
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor,
) -> list[tf.Tensor]:
    loss = tf.reduce_sum(example_losses(list(weights), list(non_trainable), features, labels))
    return traced_gradients.gradients(loss, weights)


def _standard_noise(like: Sequence[tf.Tensor], keys: tf.Tensor, step: tf.Tensor) -> list[tf.Tensor]:
    """Returns standard normal noise in the shape of the tensors, another for each silo, step and tensor."""
    draws = tf.cast(step, tf.uint64) * len(like)

    def of_silo(key: tf.Tensor) -> list[tf.Tensor]:
        # The first half of Philox' counter numbers the values of one draw, the second the draws.
        zero = tf.zeros((), tf.uint64)
        return [
            _standard_normal(tensor.shape[1:], key[:1], tf.stack([zero, key[1] + draws + position]))
            for position, tensor in enumerate(like)
        ]

    return tf.map_fn(of_silo, keys, fn_output_signature=[tf.TensorSpec(tensor.shape[1:]) for tensor in like])


def _standard_normal(shape: tf.TensorShape, key: tf.Tensor, counter: tf.Tensor) -> tf.Tensor:
    """Returns normal numbers by Box and Muller (Annals of Mathematical Statistics 29, 1958).

    `tf.random.stateless_normal` makes other numbers with XLA than without, and they follow from 64 bits of its seed.
    """
    bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=(2, *shape), key=key, counter=counter, alg=_PHILOX, dtype=tf.uint32
    )
    # Above 0, so that the logarithm is finite; a normal number is at most 6.8.
    radius, angle = tf.unstack((tf.cast(bits, tf.float32) + 0.5) * 2.0**-32)
    return tf.sqrt(-2.0 * tf.math.log(radius)) * tf.cos(2 * np.pi * angle)
