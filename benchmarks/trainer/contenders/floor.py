"""The floor: the steps of a round, of all silos one after the other, in one XLA-compiled loop; no federation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.trainer import contract


def train(workload: contract.Workload, rounds: int) -> contract.Result:
    """Trains; each round is one call."""
    features, labels = tf.constant(workload.features), tf.constant(workload.labels)
    counts = tf.constant(workload.counts, tf.int32)
    weights = [tf.constant(values) for values in workload.weights]
    seconds = []
    for number in range(rounds):
        start = time.monotonic()
        order = tf.constant(np.pad(workload.order[number], (0, workload.batch_size)))
        weights = _round(weights, features, labels, order, counts, workload.batch_size, workload.learning_rate)
        result = [values.numpy() for values in weights]
        seconds.append(time.monotonic() - start)
    return contract.Result(result, seconds, {"tensorflow": tf.__version__})


@tf.function(jit_compile=True)
def _round(
    weights: Sequence[tf.Tensor],
    features: tf.Tensor,
    labels: tf.Tensor,
    order: tf.Tensor,
    counts: tf.Tensor,
    batch_size: int,
    learning_rate: float,
) -> list[tf.Tensor]:
    """Returns the weights after one round.

    Args:
        weights: Kernel and bias of each layer in turn.
        features: Shape (rows, features).
        labels: Shape (rows, 1).
        order: Rows in the order of training, silo after silo, and then the size of a batch more that are never used.
        counts: Rows of each silo.
        batch_size: Rows in a batch.
        learning_rate: Learning rate of SGD.
    """
    starts = tf.cumsum(counts, exclusive=True)
    shares = tf.cast(counts, tf.float32) / tf.cast(tf.reduce_sum(counts), tf.float32)

    def train_batch(position: Any, end: Any, *trained: Any) -> Any:
        rows = tf.slice(order, [position], [batch_size])
        mask = tf.cast(position + tf.range(batch_size) < end, tf.float32)
        gradients = _gradients(trained, tf.gather(features, rows), tf.gather(labels, rows), mask)
        stepped = [values - learning_rate * gradient for values, gradient in zip(trained, gradients, strict=True)]
        return position + batch_size, end, *stepped

    def train_silo(silo: Any, *mean: Any) -> Any:
        start, end = starts[silo], starts[silo] + counts[silo]
        _, _, *trained = tf.while_loop(lambda position, end, *_: position < end, train_batch, (start, end, *weights))
        return silo + 1, *[total + shares[silo] * values for total, values in zip(mean, trained, strict=True)]

    nothing = [tf.zeros_like(values) for values in weights]
    _, *mean = tf.while_loop(lambda silo, *_: silo < len(counts), train_silo, (0, *nothing))
    return mean


def _gradients(weights: Sequence[tf.Tensor], features: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> list[Any]:
    """Returns the gradient of the mean binary cross-entropy over the rows where the mask is 1."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        values = features
        for kernel, bias in zip(weights[0::2], weights[1::2], strict=True):
            logits = tf.matmul(values, kernel) + bias
            values = tf.nn.relu(logits)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)[:, 0]
        loss = tf.reduce_sum(mask * losses) / tf.reduce_sum(mask)
    return tape.gradient(loss, weights)


if __name__ == "__main__":
    contract.run_contender(train)
