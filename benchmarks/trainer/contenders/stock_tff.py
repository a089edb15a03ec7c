"""TFF's own federated averaging, `tff.learning.algorithms.build_weighted_fed_avg`, in TFF's C++ runtime."""

from __future__ import annotations

import time

import tensorflow as tf
import tensorflow_federated as tff

from benchmarks.trainer import contract
from benchmarks.trainer.contenders import keras_network


def train(workload: contract.Workload, rounds: int) -> contract.Result:
    """Trains; the silos' batches go to the runtime as `tf.data` datasets, each round in that round's order."""
    tff.backends.native.set_sync_local_cpp_execution_context()
    process = _learning_process(workload)
    initial = tff.learning.models.ModelWeights(trainable=list(workload.weights), non_trainable=[])
    state = process.set_model_weights(process.initialize(), initial)
    seconds = []
    for number in range(rounds):
        start = time.monotonic()
        state = process.next(state, _datasets(workload, number)).state
        seconds.append(time.monotonic() - start)
    versions = {"tensorflow-federated": tff.__version__, "tensorflow": tf.__version__}
    return contract.Result(process.get_model_weights(state).trainable, seconds, versions)


def _learning_process(workload: contract.Workload) -> tff.learning.templates.LearningProcess:
    def model() -> tff.learning.models.VariableModel:
        return tff.learning.models.from_keras_model(
            keras_network.build(workload),
            loss=tf.keras.losses.BinaryCrossentropy(from_logits=True),
            input_spec=(
                tf.TensorSpec((None, workload.features.shape[1]), tf.float32),
                tf.TensorSpec((None, 1), tf.float32),
            ),
        )

    return tff.learning.algorithms.build_weighted_fed_avg(
        model,
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(workload.learning_rate),
        server_optimizer_fn=tff.learning.optimizers.build_sgdm(1.0),
        client_weighting=tff.learning.ClientWeighting.NUM_EXAMPLES,
    )


def _datasets(workload: contract.Workload, round_number: int) -> list[tf.data.Dataset]:
    orders = [workload.order[round_number, part] for part in workload.parts]
    return [
        tf.data.Dataset.from_tensor_slices((workload.features[rows], workload.labels[rows])).batch(workload.batch_size)
        for rows in orders
    ]


if __name__ == "__main__":
    contract.run_contender(train)
