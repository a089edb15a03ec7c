"""A model measured on one silo's rows."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import functional_model

# Rows that are predicted at once: their predictions and activations have to fit into memory.
_ROWS_AT_ONCE = 4096


class SiloEvaluation:
    """The mean loss, and the user's metrics, of a model on one silo's rows."""

    def __init__(self, make_model: functional_model.MakeModel, model: functional_model.FunctionalModel) -> None:
        """Takes the model with and without its weights; of the first only the metrics are used."""
        self._model = model
        with tf.Graph().as_default():
            constructors = collections.OrderedDict((made().name, made) for made in make_model().metrics)
        self._metrics = tff.learning.metrics.create_functional_metric_fns(constructors) if constructors else None

    def measure(
        self,
        trainable: Sequence[tf.Tensor],
        non_trainable: Sequence[tf.Tensor],
        features: functional_model.Features,
        labels: tf.Tensor,
    ) -> collections.OrderedDict[str, tf.Tensor]:
        """Returns `loss` and the user's metrics by name, each a float32 scalar.

        Args:
            trainable: Weights of the model.
            non_trainable: Its other weights.
            features: Values by name, each of shape `(rows, *shape)`.
            labels: Shape `(rows, *shape)`.
        """

        def step(first: tf.Tensor, loss: tf.Tensor, state: Any) -> Any:
            some = {name: values[first : first + _ROWS_AT_ONCE] for name, values in features.items()}
            label = labels[first : first + _ROWS_AT_ONCE]
            predictions = self._model.predict(trainable, non_trainable, some)
            loss += tf.reduce_sum(self._model.prediction_losses(predictions, label))
            if self._metrics:
                output = tff.learning.models.BatchOutput(None, predictions, None)
                state = self._metrics[1](state, label, output)
            return first + _ROWS_AT_ONCE, loss, state

        rows = tf.shape(labels)[0]
        start = self._metrics[0]() if self._metrics else ()
        _, loss, state = tf.while_loop(
            lambda first, *_: first < rows, step, (tf.constant(0), tf.zeros(()), start), parallel_iterations=1
        )
        measured = collections.OrderedDict(loss=loss / tf.cast(rows, tf.float32))
        if self._metrics:
            finalized = self._metrics[2](state)
            measured.update((name, tf.cast(value, tf.float32)) for name, value in finalized.items())
        return measured
