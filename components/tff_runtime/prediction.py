"""The trained models as SavedModels of plain TensorFlow: tensors of features in, predictions out.

Each is a `tf.Module` with one function, `predict`. No Keras object is saved, so that another TensorFlow can load it.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tff_runtime import job as job_lib
from tff_runtime import model as model_lib
from tff_runtime.learning import variable_model

MakeModel = Callable[[], model_lib.FederatedModel]


def save_model(path: str | os.PathLike[str], keras_model: Any, job: job_lib.TrainingJob) -> None:
    """Saves one model as `predict(features) -> predictions`.

    Args:
        path: Folder to write.
        keras_model: The model with its weights.
        job: The job, for the types of the features: a mapping of name to a tensor of shape `(batch, *shape)`.
    """
    specs = variable_model.feature_specs(keras_model.input_names, job)
    module = tf.Module()
    module.model_variables = keras_model.variables
    module.predict = tf.function(lambda features: keras_model(features, training=False), input_signature=[dict(specs)])
    tf.saved_model.save(module, os.fspath(path))


def save_silo_models(
    path: str | os.PathLike[str],
    make_model: MakeModel,
    stacked_weights: Sequence[np.ndarray],
    silos: Sequence[str],
    job: job_lib.TrainingJob,
) -> None:
    """Saves the models of all silos as one `predict(features, silo) -> predictions`.

    Every row is answered by the model of its silo. The rows of a silo without a model get NaN.

    Args:
        path: Folder to write.
        make_model: Makes the user's model.
        stacked_weights: The weights in the order of `keras_model.variables`, each of shape `(silos, *shape)`.
        silos: The silos in the order of the first axis of the weights.
        job: The job, for the types of the features.
    """
    features = make_model().keras_model.input_names
    specs = variable_model.feature_specs(features, job)
    module = _RoutedModel(_weightless_predict(make_model, specs), stacked_weights, silos)
    module.predict = tf.function(
        module.route, input_signature=[dict(specs), tf.TensorSpec((None,), tf.string, name="silo")]
    )
    tf.saved_model.save(module, os.fspath(path))


def _weightless_predict(
    make_model: MakeModel, specs: collections.OrderedDict[str, tf.TensorSpec]
) -> Callable[[Sequence[tf.Tensor], Sequence[tf.Tensor]], tf.Tensor]:
    """Returns the model as a function of (weights in the order of `keras_model.variables`, features in that of specs).

    The model is built once more in a graph in which every variable that it asks for is a tensor fed from outside, the
    way `tff.learning.models.functional_model_from_keras` does it; that function fixes another order of the weights.
    """
    with tf.Graph().as_default():
        order = _creation_order(make_model)
    with tf.Graph().as_default() as graph:
        created: list[tf.Tensor] = []

        def placeholder_for_variable(_: Any, **arguments: Any) -> tf.Tensor:
            shape = tf.TensorShape(arguments["shape"])
            created.append(tf.compat.v1.placeholder(arguments["dtype"], shape))
            return created[-1]

        with tf.variable_creator_scope(placeholder_for_variable):
            keras_model = make_model().keras_model
        inputs = {name: tf.compat.v1.placeholder(spec.dtype, spec.shape) for name, spec in specs.items()}
        output = keras_model(inputs, training=False)
    weights = [created[position] for position in order]
    names = [tensor.name for tensor in [*weights, *inputs.values()]]
    graph_definition = graph.as_graph_def()
    imported = tf.compat.v1.wrap_function(
        lambda: tf.compat.v1.import_graph_def(graph_definition, name=""), signature=[]
    )
    pruned = imported.prune([imported.graph.get_tensor_by_name(name) for name in names], output.name)
    return lambda weights, features: pruned(*weights, *features)


def _creation_order(make_model: MakeModel) -> list[int]:
    """Returns, for each of `keras_model.variables`, as which variable it was created."""
    created: list[tf.Variable] = []

    def record(next_creator: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        created.append(next_creator(**arguments))
        return created[-1]

    with tf.variable_creator_scope(record):
        model = make_model()
    return [next(i for i, made in enumerate(created) if made is variable) for variable in model.keras_model.variables]


class _RoutedModel(tf.Module):
    def __init__(
        self,
        predict: Callable[[Sequence[tf.Tensor], Sequence[tf.Tensor]], tf.Tensor],
        stacked_weights: Sequence[np.ndarray],
        silos: Sequence[str],
    ) -> None:
        super().__init__()
        self._predict = predict
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
            return self._predict(weights, [tf.gather(features[name], mine) for name in sorted(features)])

        shape = predictions_of(tf.zeros((), tf.int64), tf.zeros((0,), tf.int64)).shape[1:]
        predictions = tf.fill(tf.concat([[rows], shape], axis=0), tf.constant(np.nan, tf.float32))
        for position in present:
            tf.autograph.experimental.set_loop_options(shape_invariants=[(predictions, tf.TensorShape([None, *shape]))])
            mine = tf.where(positions == position)
            predictions = tf.tensor_scatter_nd_update(predictions, mine, predictions_of(position, mine[:, 0]))
        return predictions
