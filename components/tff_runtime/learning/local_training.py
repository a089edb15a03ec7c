"""Every silo alone: the client work of federated averaging, applied to each silo's own weights and never averaged."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime.learning import variable_model

# (weights of each silo, batches of each silo) -> (new weights of each silo, rows that count of each silo)
LocalTraining = Callable[[Sequence[Any], Sequence[tf.data.Dataset]], tuple[list[Any], list[float]]]


def build_local_training(
    model_function: variable_model.VariableModelFunction, job: job_lib.TrainingJob
) -> LocalTraining:
    """Returns one round of training of every silo on its own.

    Args:
        model_function: Makes the model.
        job: The job, for the client optimizer.

    Returns:
        A TFF computation of the silos' weights and batches. It returns the silos' new weights and, for each, how many
        rows it trained on: 0 where TFF discarded the update because it was not finite.
    """
    client_work = tff.learning.templates.build_model_delta_client_work(
        model_function,
        tff.learning.optimizers.build_sgdm(job.client_learning_rate),
        tff.learning.ClientWeighting.NUM_EXAMPLES,
    )
    _, weights_type, data_type = client_work.next.type_signature.parameter
    update_type = client_work.next.type_signature.result.result.member.update

    @tff.tensorflow.computation(weights_type.member, update_type)
    def apply_update(weights: Any, update: Any) -> Any:
        return collections.OrderedDict(
            trainable=[tf.subtract(old, delta) for old, delta in zip(weights.trainable, update, strict=True)],
            non_trainable=list(weights.non_trainable),
        )

    @tff.federated_computation(weights_type, data_type)
    def train_alone(weights: Any, data: Any) -> Any:
        result = client_work.next(client_work.initialize(), weights, data).result
        return tff.federated_map(apply_update, (weights, result.update)), result.update_weight

    return train_alone
