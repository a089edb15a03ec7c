"""The model measured on each silo's rows, silo by silo: TFF's own evaluation returns sums over silos only."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime.learning import variable_model


class SiloEvaluation(NamedTuple):
    """Two computations that return one mapping of metric name to value for each silo.

    Attributes:
        of_one_model: (weights, batches of each silo): the same model on every silo.
        of_own_models: (weights of each silo, batches of each silo): each silo's model on its own rows.
    """

    of_one_model: Callable[..., Any]
    of_own_models: Callable[..., Any]


def build_silo_evaluation(model_function: variable_model.VariableModelFunction) -> SiloEvaluation:
    """Returns the evaluations of a model on each silo."""
    with tf.Graph().as_default():
        model = model_function()
        weights_type = tff.learning.models.weights_type_from_model(model)
        batches_type = tff.SequenceType(tff.types.tensorflow_to_type(model.input_spec))

    @tff.tensorflow.computation(weights_type, batches_type)
    def evaluate_silo(weights: Any, batches: tf.data.Dataset) -> Any:
        model = model_function()

        @tf.function
        def measure(weights: Any, batches: tf.data.Dataset) -> Any:
            tf.nest.map_structure(
                lambda variable, value: variable.assign(value),
                tff.learning.models.ModelWeights.from_model(model),
                weights,
            )
            for batch in batches:
                model.forward_pass(batch, training=False)
            unfinalized = model.report_local_unfinalized_metrics()
            return collections.OrderedDict(
                (name, finalize(unfinalized[name])) for name, finalize in model.metric_finalizers().items()
            )

        return measure(weights, batches)

    at_server = tff.FederatedType(weights_type, tff.SERVER)
    at_silos = tff.FederatedType(weights_type, tff.CLIENTS)
    batches_at_silos = tff.FederatedType(batches_type, tff.CLIENTS)

    @tff.federated_computation(at_server, batches_at_silos)
    def of_one_model(weights: Any, batches: Any) -> Any:
        return tff.federated_map(evaluate_silo, (tff.federated_broadcast(weights), batches))

    @tff.federated_computation(at_silos, batches_at_silos)
    def of_own_models(weights: Any, batches: Any) -> Any:
        return tff.federated_map(evaluate_silo, (weights, batches))

    return SiloEvaluation(of_one_model, of_own_models)
