"""A training as TFF computations: a whole `tff.learning` process, and its server's half alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import functional_model
from tff_runtime import job as job_lib
from tff_runtime.learning import client_work, local_algorithm, silo_element
from tff_runtime.settings import ledgers

_OPTIMIZERS: dict[str, Callable[[job_lib.TrainingJob], tff.learning.optimizers.Optimizer]] = {
    "sgd": lambda job: tff.learning.optimizers.build_sgdm(job.server_learning_rate, job.server_momentum or None),
    "adagrad": lambda job: tff.learning.optimizers.build_adagrad(job.server_learning_rate),
    "adam": lambda job: tff.learning.optimizers.build_adam(job.server_learning_rate),
    "yogi": lambda job: tff.learning.optimizers.build_yogi(job.server_learning_rate),
}
assert tuple(_OPTIMIZERS) == job_lib.SERVER_OPTIMIZERS


def model_weights_type(model: functional_model.FunctionalModel) -> tff.Type:
    """Returns the type of a model's weights, a `tff.learning.models.ModelWeights`."""
    return tff.to_type(
        tff.learning.models.ModelWeights(
            trainable=[tff.TensorType(spec.dtype.as_numpy_dtype, spec.shape) for spec in model.trainable],
            non_trainable=[tff.TensorType(spec.dtype.as_numpy_dtype, spec.shape) for spec in model.non_trainable],
        )
    )


def build_learning_process(
    algorithm: local_algorithm.LocalAlgorithm,
    job: job_lib.TrainingJob,
    aggregator: tff.aggregators.WeightedAggregationFactory,
    element: silo_element.TaskElement,
) -> tff.learning.templates.LearningProcess:
    """Returns the training as a process that any TFF runtime runs; a client's data is a sequence of one element."""
    weights_type = model_weights_type(algorithm.model)
    return tff.learning.templates.compose_learning_process(
        _no_weights(algorithm.model),
        tff.learning.templates.build_broadcast_process(weights_type),
        client_work.build_client_work(algorithm, weights_type, element, _is_detailed(job)),
        aggregator.create(weights_type.trainable, tff.TensorType(np.float32)),
        _finalizer(job, weights_type),
    )


class ServerProcess:
    """What the server of `build_learning_process` does with the silos' results, whoever computed them.

    Attributes:
        initialize: `( -> state@SERVER)`; the state is that of the learning process.
        next: `(state@SERVER, update@CLIENTS, weight@CLIENTS, shared@CLIENTS) -> (state, measurements)@SERVER`.
    """

    def __init__(
        self,
        algorithm: local_algorithm.LocalAlgorithm,
        job: job_lib.TrainingJob,
        aggregator: tff.aggregators.WeightedAggregationFactory,
    ) -> None:
        """Composes the computations."""
        weights_type = model_weights_type(algorithm.model)
        distributor = tff.learning.templates.build_broadcast_process(weights_type)
        aggregation = aggregator.create(weights_type.trainable, tff.TensorType(np.float32))
        finalizer = _finalizer(job, weights_type)

        @tff.federated_computation
        def initialize() -> Any:
            return tff.federated_zip(
                tff.learning.templates.LearningAlgorithmState(
                    tff.federated_eval(_no_weights(algorithm.model), tff.SERVER),
                    distributor.initialize(),
                    tff.federated_eval(client_work.initial_shared_state(algorithm), tff.SERVER),
                    aggregation.initialize(),
                    finalizer.initialize(),
                )
            )

        @tff.federated_computation(
            initialize.type_signature.result,
            tff.FederatedType(weights_type.trainable, tff.CLIENTS),
            tff.FederatedType(tff.TensorType(np.float32), tff.CLIENTS),
            tff.FederatedType(client_work.contribution_type(algorithm), tff.CLIENTS),
        )
        def next_fn(state: Any, update: Any, weight: Any, shared: Any) -> Any:
            aggregated = aggregation.next(state.aggregator, update, weight)
            finalized = finalizer.next(state.finalizer, state.global_model_weights, aggregated.result)
            new_state = tff.learning.templates.LearningAlgorithmState(
                finalized.result,
                state.distributor,
                client_work.next_shared_state(algorithm, state.client_work, shared),
                aggregated.state,
                finalized.state,
            )
            measurements = {"aggregator": aggregated.measurements, "finalizer": finalized.measurements}
            return tff.federated_zip(new_state), tff.federated_zip(measurements)

        self.initialize = initialize
        self.next = next_fn


def _is_detailed(job: job_lib.TrainingJob) -> bool:
    # For a summary it would cost too much: TFF copies what is collected with each silo that is added.
    return isinstance(job.ledger, ledgers.DetailedLedger)


def _finalizer(job: job_lib.TrainingJob, weights_type: tff.Type) -> tff.learning.templates.FinalizerProcess:
    factors = [job.server_schedule.factor(round_number) for round_number in range(1, job.rounds + 2)]
    rates = np.asarray(factors, np.float32) * np.float32(job.server_learning_rate)
    optimizer = tff.learning.optimizers.schedule_learning_rate(
        _OPTIMIZERS[job.server_optimizer](job), lambda step: tf.gather(tf.constant(rates), step)
    )
    return tff.learning.templates.build_apply_optimizer_finalizer(optimizer, weights_type)


def _no_weights(model: functional_model.FunctionalModel) -> tff.Computation:
    return tff.tensorflow.computation(
        lambda: tff.learning.models.ModelWeights(
            trainable=[tf.zeros(spec.shape, spec.dtype) for spec in model.trainable],
            non_trainable=[tf.zeros(spec.shape, spec.dtype) for spec in model.non_trainable],
        )
    )
