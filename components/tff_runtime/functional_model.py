"""The user's Keras model as a function of its weights, for one silo or for many at once.

Many silos train in one compiled call when every silo has its own copy of the weights along a silo axis. A Keras model
owns its weights, so it is built once more in a graph in which every variable that it asks for is fed from outside, the
way `tff.learning.models.functional_model_from_keras` does it; that function has no silo axis.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

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
        layers: Name of the layer of each trainable weight.
    """

    def __init__(self, make_model: MakeModel, job: job_lib.TrainingJob) -> None:
        """Builds the graphs.

        Args:
            make_model: Makes the user's model.
            job: The job, for the types of the features.
        """
        with tf.Graph().as_default():
            model, order = _creation_order(make_model)
            keras_model = model.keras_model
            self.trainable = [tf.TensorSpec(v.shape, v.dtype) for v in keras_model.trainable_variables]
            self.non_trainable = [tf.TensorSpec(v.shape, v.dtype) for v in keras_model.non_trainable_variables]
            layer_of = {id(weight): layer.name for layer in keras_model.layers for weight in layer.trainable_weights}
            self._is_regularized = bool(keras_model.losses)
            self.layers = [layer_of[id(weight)] for weight in keras_model.trainable_variables]
        self.specs = feature_specs(keras_model.input_names, job)
        self._loss = model.loss
        self._forward, self._regularization = _graph_functions(make_model, self.specs, order, training=True)
        self._predict, _ = _graph_functions(make_model, self.specs, order, training=False)

    def predict(
        self, trainable: Sequence[tf.Tensor], non_trainable: Sequence[tf.Tensor], features: Features
    ) -> tf.Tensor:
        """Returns the predictions of one model for a batch, shape `(batch, ...)`."""
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
        predictions = tf.vectorized_map(
            lambda arguments: self._forward(*arguments[0], *non_trainable, *arguments[1]), (list(trainable), values)
        )
        # The loss is taken of all silos' rows as one batch, as a user's loss expects it.
        rows = [tf.reshape(tensor, [silos * batch, *tensor.shape[2:]]) for tensor in (predictions, labels)]
        return tf.reshape(self.prediction_losses(*rows), [silos, batch])

    def regularization_losses(self, trainable: Sequence[tf.Tensor], non_trainable: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns the sum of the regularization losses of each silo's weights, shape `(silos,)`."""
        silos = trainable[0].shape[0]
        if not self._is_regularized:
            return tf.zeros(silos)
        losses = tf.vectorized_map(lambda weights: self._regularization(*weights, *non_trainable), list(trainable))
        return tf.ensure_shape(losses, (silos,))


def _graph_functions(
    make_model: MakeModel, specs: Mapping[str, tf.TensorSpec], order: Sequence[int], training: bool
) -> tuple[Callable[..., tf.Tensor], Callable[..., tf.Tensor]]:
    """Returns the model as a function of (trainable, other weights, features), and its regularization of the weights.

    They are two functions, because XLA takes everything for a constant where a function under vectorized_map has an
    output that does not depend on the rows.
    """
    with tf.Graph().as_default() as graph:
        created: list[tf.Tensor] = []

        def placeholder_for_variable(_: Any, **arguments: Any) -> tf.Tensor:
            created.append(tf.compat.v1.placeholder(arguments["dtype"], tf.TensorShape(arguments["shape"])))
            return created[-1]

        with tf.variable_creator_scope(placeholder_for_variable):
            keras_model = make_model().keras_model
        inputs = {name: tf.compat.v1.placeholder(spec.dtype, spec.shape) for name, spec in specs.items()}
        output = tf.identity(keras_model(inputs, training=training))
        regularization = tf.add_n([tf.zeros(()), *keras_model.losses])
    weights = [created[position].name for position in order]
    features = [tensor.name for tensor in inputs.values()]
    graph_definition = graph.as_graph_def()
    imported = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(graph_definition, name=""), signature=[]
    )
    tensor = imported.graph.get_tensor_by_name
    forward = imported.prune([tensor(name) for name in [*weights, *features]], tensor(output.name))
    return forward, imported.prune([tensor(name) for name in weights], tensor(regularization.name))


def _creation_order(make_model: MakeModel) -> tuple[model_lib.FederatedModel, list[int]]:
    """Returns a model and, for each of its trainable and then its other variables, as which one it was created."""
    created: list[tf.Variable] = []

    def record(next_creator: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        created.append(next_creator(**arguments))
        return created[-1]

    with tf.variable_creator_scope(record):
        model = make_model()
    variables = [*model.keras_model.trainable_variables, *model.keras_model.non_trainable_variables]
    return model, [next(i for i, made in enumerate(created) if made is variable) for variable in variables]
