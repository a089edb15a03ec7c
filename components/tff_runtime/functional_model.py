"""The user's Keras model as a function of its weights, for one silo or for many at once.

Many silos train in one compiled call when every silo has its own copy of the weights along a silo axis. A Keras model
owns its weights: its graph is frozen, and the constants that its weights become are fed from outside.
(`tff.learning.models.functional_model_from_keras` builds the model in a graph of TensorFlow 1, where layers that the
user makes of operations fail, and has no silo axis.)
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from tff_runtime import job as job_lib
from tff_runtime import model as model_lib

MakeModel = Callable[[], model_lib.FederatedModel]
Features = Mapping[str, tf.Tensor]


def feature_specs(features: Sequence[str], job: job_lib.TrainingJob) -> collections.OrderedDict[str, tf.TensorSpec]:
    """Returns the type of a batch of the given features, by name in alphabetical order."""
    return collections.OrderedDict(
        (name, tf.TensorSpec((None, *job.features[name].shape), job.features[name].dtype)) for name in sorted(features)
    )


class FunctionalModel:
    """A model without weights of its own.

    Attributes:
        specs: Type of a batch of each feature that the model takes, by name.
        trainable: Type of each trainable weight.
        non_trainable: Type of each other weight; training leaves these as they are.
        names: Name of each trainable weight.
        layers: Name of the layer of each trainable weight.
        is_regularized: Whether there are regularization losses.
        has_silo_axis: Whether TensorFlow can vectorize the model over silos. It cannot do so with all operations, those
            of recurrent layers among them; then silos are trained one at a time.
    """

    def __init__(self, make_model: MakeModel, job: job_lib.TrainingJob) -> None:
        """Builds the graphs.

        Args:
            make_model: Makes the user's model.
            job: The job, for the types of the features.

        Raises:
            JobError: A layer adds a loss that depends on the rows.
        """
        with tf.init_scope():
            model = make_model()
            keras_model = model.keras_model
            variables = [*keras_model.trainable_variables, *keras_model.non_trainable_variables]
            self.trainable = [tf.TensorSpec(v.shape, v.dtype) for v in keras_model.trainable_variables]
            self.non_trainable = [tf.TensorSpec(v.shape, v.dtype) for v in keras_model.non_trainable_variables]
            self.names = [variable.name for variable in keras_model.trainable_variables]
            layer_of = {id(weight): layer.name for layer in keras_model.layers for weight in layer.trainable_weights}
            self.layers = [layer_of[id(weight)] for weight in keras_model.trainable_variables]
            self.specs = feature_specs(keras_model.input_names, job)
            self.is_regularized = bool(keras_model.losses)
            _require_losses_of_weights(keras_model)
            self._loss = model.loss

            def call(training: bool, *features: tf.Tensor) -> tf.Tensor:
                return keras_model(dict(zip(self.specs, features, strict=True)), training=training)

            specs = list(self.specs.values())
            self._forward = _of_weights(functools.partial(call, True), specs, variables)
            self._predict = _of_weights(functools.partial(call, False), specs, variables)
            self.has_silo_axis = self._can_be_vectorized()
            self._regularization = _of_weights(lambda: tf.add_n([tf.zeros(()), *keras_model.losses]), [], variables)

    def _can_be_vectorized(self) -> bool:
        def batch_of_one(spec: tf.TensorSpec) -> tf.TensorSpec:
            return tf.TensorSpec([1, *(1 if size is None else size for size in spec.shape)], spec.dtype)

        def forward(trainable: Sequence[tf.Tensor], non_trainable: Sequence[tf.Tensor], values: Sequence[Any]) -> Any:
            return tf.vectorized_map(
                lambda arguments: self._forward(*arguments[0], *non_trainable, *arguments[1]),
                (list(trainable), list(values)),
                fallback_to_while_loop=False,
            )

        weights, values = ([batch_of_one(spec) for spec in specs] for specs in (self.trainable, self.specs.values()))
        try:
            tf.function(forward).get_concrete_function(weights, self.non_trainable, values)
        except (ValueError, TypeError, NotImplementedError):
            return False
        return True

    def predict(
        self, trainable: Sequence[tf.Tensor], non_trainable: Sequence[tf.Tensor], features: Features
    ) -> tf.Tensor:
        """Returns the predictions of one model for a batch, shape `(batch, ...)`. For use inside a `tf.function`."""
        return self._predict(*trainable, *non_trainable, *(features[name] for name in self.specs))

    def prediction_losses(self, predictions: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each row of a batch, shape `(batch,)`."""
        losses = self._loss.call(labels, predictions)
        return tf.reduce_mean(losses, axis=range(1, losses.shape.rank))

    def example_losses(
        self,
        trainable: Sequence[tf.Tensor],
        non_trainable: Sequence[tf.Tensor],
        features: Features,
        labels: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the losses of many silos' batches, each under the silo's own weights, without regularization.

        Args:
            trainable: Weights of each silo, each of shape `(silos, *shape)`.
            non_trainable: Weights that all silos share, without the silo axis.
            features: Values by name, each of shape `(silos, batch, *shape)`; the sizes must be known statically.
            labels: Shape `(silos, batch, *shape)`.

        Returns:
            The loss of each example, shape `(silos, batch)`.
        """
        silos, batch = labels.shape[:2]
        values = [features[name] for name in self.specs]
        if silos == 1 and not self.has_silo_axis:
            alone = [tf.squeeze(tensor, 0) for tensor in [*trainable, *values]]
            weights, values = alone[: len(trainable)], alone[len(trainable) :]
            predictions = self._forward(*weights, *non_trainable, *values)[tf.newaxis]
        else:
            predictions = tf.vectorized_map(
                lambda arguments: self._forward(*arguments[0], *non_trainable, *arguments[1]),
                (list(trainable), values),
                fallback_to_while_loop=False,
            )
        # The loss is taken of all silos' rows as one batch, as a user's loss expects it.
        rows = [tf.reshape(tensor, [silos * batch, *tensor.shape[2:]]) for tensor in (predictions, labels)]
        return tf.reshape(self.prediction_losses(*rows), [silos, batch])

    def regularization_losses(self, trainable: Sequence[tf.Tensor], non_trainable: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns the sum of the regularization losses of each silo's weights, shape `(silos,)`."""
        silos = trainable[0].shape[0]
        if not self.is_regularized:
            return tf.zeros(silos)
        # Not vectorized_map, which makes a loop of L2Loss that XLA does not compile.
        of_silos = zip(*(tf.unstack(weight) for weight in trainable), strict=True)
        return tf.stack([self._regularization(*weights, *non_trainable) for weights in of_silos])


def _require_losses_of_weights(keras_model: tf.keras.Model) -> None:
    # A loss of weights alone has a value already.
    if any(tf.is_symbolic_tensor(loss) for loss in keras_model.losses):
        raise job_lib.JobError(
            "ModuleFile",
            "a layer adds a loss that depends on the rows (activity_regularizer, or add_loss), which is no part of the "
            "loss of a row; put it into the model's loss, or regularize weights",
        )


def _of_weights(
    function: Callable[..., tf.Tensor], specs: Sequence[tf.TensorSpec], variables: Sequence[tf.Variable]
) -> Callable[..., tf.Tensor]:
    """Returns a function that reads variables as a function of (values of the variables, its arguments).

    Its operations become those of the caller's graph: called as a function of its own under vectorized_map, its
    gradient would be compiled anew for every batch.
    """
    concrete = tf.function(lambda *arguments: tf.identity(function(*arguments))).get_concrete_function(*specs)
    frozen = convert_to_constants.convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    graph_definition, fetch = frozen.graph.as_graph_def(), frozen.outputs[0].name
    arguments = [tensor.name for tensor in concrete.inputs[: len(specs)]]
    # A variable becomes a constant of the name under which its handle was captured.
    constants = {id(handle): placeholder.name for handle, placeholder in concrete.graph.captures}
    names = [constants.get(id(variable.handle)) for variable in variables]

    def of_weights(*tensors: tf.Tensor) -> tf.Tensor:
        # Identities are operations of this graph, also where the tensors are of a graph around it.
        feeds = zip([*names, *arguments], map(tf.identity, tensors), strict=True)
        input_map = {name: tensor for name, tensor in feeds if name is not None}
        (result,) = tf.graph_util.import_graph_def(graph_definition, input_map, [fetch], name="model")
        return result

    return of_weights
