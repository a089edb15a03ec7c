"""A federated algorithm as the client work of a `tff.learning` process: each TFF client trains one silo."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime.learning import collected, local_algorithm, silo_element, silo_training


def build_client_work(
    algorithm: local_algorithm.LocalAlgorithm,
    weights_type: tff.Type,
    element: silo_element.TaskElement,
    tells_updates: bool = False,
) -> tff.learning.templates.ClientWorkProcess:
    """Returns the client work.

    Its state is the algorithm's own at the server. Its measurements are `report`, the silos' `silo_training.Report`,
    and `state`, what the silos keep, both with a leading axis of silos in no fixed order; where updates are told, also
    `update` and `weight` of `silo_training.SiloResults` in the same order.

    Args:
        algorithm: The algorithm.
        weights_type: Type of the model's weights.
        element: What each silo is given.
        tells_updates: Whether the server keeps each silo's update.
    """
    shared_type = shared_state_type(algorithm)
    data_type = element.sequence_type

    train_silo = build_silo_training(algorithm, weights_type, element)

    @tff.federated_computation
    def initialize() -> Any:
        return tff.federated_eval(initial_shared_state(algorithm), tff.SERVER)

    @tff.federated_computation(
        tff.FederatedType(shared_type, tff.SERVER),
        tff.FederatedType(weights_type, tff.CLIENTS),
        tff.FederatedType(data_type, tff.CLIENTS),
    )
    def next_fn(shared: Any, weights: Any, data: Any) -> Any:
        results = tff.federated_map(train_silo, (tff.federated_broadcast(shared), weights, data))
        client_result = tff.federated_zip(tff.learning.templates.ClientResult(results.update, results.weight))
        kept = {"report": results.report, "state": results.state}
        if tells_updates:
            kept |= {"update": results.update, "weight": results.weight}
        return tff.templates.MeasuredProcessOutput(
            next_shared_state(algorithm, shared, results.shared),
            client_result,
            collected.collect(tff.federated_zip(kept)),
        )

    return tff.learning.templates.ClientWorkProcess(initialize, next_fn)


def build_silo_training(
    algorithm: local_algorithm.LocalAlgorithm, weights_type: tff.Type, element: silo_element.TaskElement
) -> tff.Computation:
    """Returns the computation of one silo: (algorithm's state, weights, sequence) -> `silo_training.SiloResults`."""

    @tff.tensorflow.computation(shared_state_type(algorithm), weights_type, element.sequence_type)
    def train_silo(shared: Any, weights: Any, data: tf.data.Dataset) -> Any:
        message = local_algorithm.Message(list(weights.trainable), list(weights.non_trainable), list(shared))
        results = silo_training.train(algorithm, message, element.task(data.get_single_element()))
        return tf.nest.map_structure(lambda values: values[0], results)

    return train_silo


def shared_state_type(algorithm: local_algorithm.LocalAlgorithm) -> tff.Type:
    """Returns the type of the algorithm's state at the server."""
    return tff.to_type([tff.TensorType(value.dtype, value.shape) for value in algorithm.initial_shared()])


def contribution_type(algorithm: local_algorithm.LocalAlgorithm) -> tff.Type:
    """Returns the type of what one silo adds to the algorithm's state at the server."""
    return tff.to_type([tff.TensorType(value.dtype, value.shape) for value in algorithm.contribution()])


def initial_shared_state(algorithm: local_algorithm.LocalAlgorithm) -> tff.Computation:
    """Returns a computation of the algorithm's state at the server before the first round."""
    return tff.tensorflow.computation(lambda: [tf.constant(value) for value in algorithm.initial_shared()])


def next_shared_state(algorithm: local_algorithm.LocalAlgorithm, shared: Any, contributions: Any) -> Any:
    """Returns the algorithm's state at the server after a round, inside a `tff.federated_computation`.

    Args:
        algorithm: The algorithm.
        shared: Its state, at the server.
        contributions: `Trained.shared` of each silo, at the clients.
    """
    sums = tff.federated_sum(contributions)
    step = tff.tensorflow.computation(
        lambda before, total: list(algorithm.next_shared(list(before), list(total))),
        (shared.type_signature.member, sums.type_signature.member),
    )
    return tff.federated_map(step, (shared, sums))
