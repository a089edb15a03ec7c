"""A loop over the batches of some silos at once, compiled by XLA.

The batches of a silo are cut out of its rows a chunk at a time, and one compiled loop runs over each chunk. Chunks have
one of two lengths, so that silos of every size share two compilations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

# Steps in a chunk. A chunk's rows are copied, and padded where the silo ends: hence the short one for small silos. The
# long one makes the cost of a call small beside that of its steps.
CHUNK_LENGTHS = (8, 128)


class Batch(NamedTuple):
    """One batch of each silo.

    Attributes:
        features: Values by name, each of shape `(silos, batch, *shape)`.
        labels: Shape `(silos, batch, *shape)`.
        mask: 1 for a row, 0 for padding; float32, shape `(silos, batch)`.
        active: Whether the silo has this step; shape `(silos,)`.
        step: Number of the step, from 0.
    """

    features: Mapping[str, tf.Tensor]
    labels: tf.Tensor
    mask: tf.Tensor
    active: tf.Tensor
    step: tf.Tensor


class Rows(NamedTuple):
    """The rows of some silos, and which of them make up each batch.

    Attributes:
        features: Values by name, each of shape `(silos, rows, *shape)`.
        labels: Shape `(silos, rows, *shape)`.
        order: Row numbers of each step's batch, -1 for padding; int32, shape `(silos, steps, batch)`. Silos and batch
            must be known statically.
        steps: How many steps each silo takes; int32, shape `(silos,)`.
    """

    features: Mapping[str, tf.Tensor]
    labels: tf.Tensor
    order: tf.Tensor
    steps: tf.Tensor


# (carry, batch, constants) -> carry, in tensors with a leading silo axis or scalars.
Step = Callable[[Any, Batch, Any], Any]


class BatchLoop:
    """Runs a step over all batches of a group of silos."""

    def __init__(self, step: Step) -> None:
        """Takes what one step does; it must consist of operations that XLA compiles."""
        self._step = step
        self._chunk = tf.function(self._run_chunk, jit_compile=True)

    def __call__(self, carry: Any, rows: Rows, constants: Any) -> Any:
        """Returns the carry after the last step of the silo with the most.

        Args:
            carry: What the steps change.
            rows: The silos' rows and steps.
            constants: What the steps read.
        """
        all_steps = tf.reduce_max(rows.steps)
        short, long = CHUNK_LENGTHS
        return tf.cond(
            all_steps <= short,
            lambda: self._run_chunk_of(short, tf.constant(0), carry, rows, constants),
            lambda: self._run_chunks(long, all_steps, carry, rows, constants),
        )

    def _run_chunks(self, length: int, all_steps: tf.Tensor, carry: Any, rows: Rows, constants: Any) -> Any:
        _, carry = tf.while_loop(
            lambda first, _: first < all_steps,
            lambda first, carry: (first + length, self._run_chunk_of(length, first, carry, rows, constants)),
            (tf.constant(0), carry),
            parallel_iterations=1,
        )
        return carry

    def _run_chunk_of(self, length: int, first: tf.Tensor, carry: Any, rows: Rows, constants: Any) -> Any:
        silos, _, batch = rows.order.shape
        order = rows.order[:, first : first + length]
        order = tf.pad(order, [[0, 0], [0, length - tf.shape(order)[1]], [0, 0]], constant_values=-1)
        order = tf.ensure_shape(order, (silos, length, batch))

        def cut(values: tf.Tensor) -> tf.Tensor:
            chosen = tf.gather(values, tf.maximum(order, 0), axis=1, batch_dims=1)
            return tf.ensure_shape(chosen, (silos, length, batch, *values.shape[2:]))

        features = {name: cut(values) for name, values in rows.features.items()}
        mask = tf.cast(order >= 0, tf.float32)
        return self._chunk(carry, constants, features, cut(rows.labels), mask, first, rows.steps)

    def _run_chunk(
        self,
        carry: Any,
        constants: Any,
        features: Mapping[str, tf.Tensor],
        labels: tf.Tensor,
        mask: tf.Tensor,
        first: tf.Tensor,
        steps: tf.Tensor,
    ) -> Any:
        length = mask.shape[1]

        def body(index: tf.Tensor, carry: Any) -> tuple[tf.Tensor, Any]:
            # Not values[:, index], for which XLA touches the whole chunk in every step.
            batch = Batch(
                features={name: tf.gather(values, index, axis=1) for name, values in features.items()},
                labels=tf.gather(labels, index, axis=1),
                mask=tf.gather(mask, index, axis=1),
                active=first + index < steps,
                step=first + index,
            )
            updated = self._step(carry, batch, constants)
            # TensorFlow 2.14's vectorized_map forgets the sizes, which XLA needs.
            return index + 1, tf.nest.map_structure(lambda new, old: tf.ensure_shape(new, old.shape), updated, carry)

        count = tf.minimum(length, tf.reduce_max(steps) - first)
        _, carry = tf.while_loop(lambda index, _: index < count, body, (tf.constant(0), carry))
        return carry


def of_silos(flags: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns flags of shape `(silos,)` in a shape that multiplies, or selects among, `(silos, ...)`."""
    return tf.reshape(flags, [-1] + [1] * (values.shape.rank - 1))
