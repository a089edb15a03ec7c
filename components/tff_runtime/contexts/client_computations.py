"""What TFF clients do beside the rounds of the learning process: train alone and measure models, reading by path."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime.contexts import runtime
from tff_runtime.learning import client_work, learning_process, silo_element


def build_silo_training(algorithm: Any, weights_type: tff.Type, element: silo_element.TaskElement) -> tff.Computation:
    """Returns `(shared@SERVER, weights@SERVER, {sequence}@CLIENTS) -> {silo_training.SiloResults}@CLIENTS`."""
    train_silo = client_work.build_silo_training(algorithm, weights_type, element)

    @tff.federated_computation(
        tff.FederatedType(client_work.shared_state_type(algorithm), tff.SERVER),
        tff.FederatedType(weights_type, tff.SERVER),
        tff.FederatedType(element.sequence_type, tff.CLIENTS),
    )
    def train_silos(shared: Any, weights: Any, data: Any) -> Any:
        return tff.federated_map(train_silo, (tff.federated_broadcast(shared), tff.federated_broadcast(weights), data))

    return train_silos


def build_evaluation(parts: runtime.Parts, files: silo_element.RowFiles) -> tff.Computation:
    """Returns `(weights@SERVER, {sequence of a place}@CLIENTS) -> {metrics}@CLIENTS`."""
    weights_type = learning_process.model_weights_type(parts.model)
    data_type = tff.SequenceType(tff.types.tensorflow_to_type(files.specs))

    @tff.tensorflow.computation(weights_type, data_type)
    def measure(weights: Any, data: tf.data.Dataset) -> Any:
        rows = files.read(data.get_single_element())
        return parts.evaluation.measure(list(weights.trainable), list(weights.non_trainable), *rows)

    @tff.federated_computation(tff.FederatedType(weights_type, tff.SERVER), tff.FederatedType(data_type, tff.CLIENTS))
    def evaluate(weights: Any, data: Any) -> Any:
        return tff.federated_map(measure, (tff.federated_broadcast(weights), data))

    return evaluate


def build_own_evaluation(parts: runtime.Parts, files: silo_element.RowFiles) -> tff.Computation:
    """Returns `(other weights@SERVER, {sequence of a place and weights}@CLIENTS) -> {metrics}@CLIENTS`."""
    non_trainable_type = learning_process.model_weights_type(parts.model).non_trainable
    element = silo_element.OwnModelElement(files, parts.model.trainable)

    @tff.tensorflow.computation(non_trainable_type, element.sequence_type)
    def measure(non_trainable: Any, data: tf.data.Dataset) -> Any:
        own = data.get_single_element()
        return parts.evaluation.measure(list(own["trainable"]), list(non_trainable), *files.read(own["place"]))

    @tff.federated_computation(
        tff.FederatedType(non_trainable_type, tff.SERVER), tff.FederatedType(element.sequence_type, tff.CLIENTS)
    )
    def evaluate(non_trainable: Any, data: Any) -> Any:
        return tff.federated_map(measure, (tff.federated_broadcast(non_trainable), data))

    return evaluate
