"""Federated averaging in pfl-research, with its TensorFlow model and its simulator in one process.

pfl measures the model on every silo before and after the training of the first round, and no option leaves that out: it
is part of the first round's time and of no other.
"""

from __future__ import annotations

import collections
import time
from importlib import metadata
from typing import Any

import tensorflow as tf
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.data.tensorflow import TFTensorDataset
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.tensorflow import TFModel

from benchmarks.trainer import contract
from benchmarks.trainer.contenders import keras_network


class RoundTimes(TrainingProcessCallback):
    """Notes how long each round takes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_begin(self, *, model: Any) -> Metrics:
        """Starts the first round."""
        self._start = time.monotonic()
        return Metrics()

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: Any, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """Ends one round and starts the next."""
        now = time.monotonic()
        self.seconds.append(now - self._start)
        self._start = now
        return False, Metrics()


def train(workload: contract.Workload, rounds: int) -> contract.Result:
    """Trains."""
    network = keras_network.build(workload)
    network.compile(
        loss=tf.keras.losses.BinaryCrossentropy(from_logits=True),
        optimizer=tf.keras.optimizers.SGD(workload.learning_rate),
    )
    silos = _federated_dataset(workload)
    times = RoundTimes()
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=rounds,
            evaluation_frequency=rounds,
            train_cohort_size=len(workload.counts),
            val_cohort_size=None,
        ),
        backend=SimulatedBackend(training_data=silos, val_data=silos, postprocessors=[WeightByDatapoints()]),
        model=TFModel(network, metrics={}, central_optimizer=tf.keras.optimizers.SGD(1.0)),
        model_train_params=NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=workload.learning_rate, local_batch_size=workload.batch_size
        ),
        callbacks=[times],
    )
    versions = {"pfl": metadata.version("pfl"), "tensorflow": tf.__version__}
    return contract.Result(network.get_weights(), times.seconds, versions)


def _federated_dataset(workload: contract.Workload) -> FederatedDataset:
    parts = workload.parts
    rounds_of_silo: collections.Counter[int] = collections.Counter()

    def make_dataset(silo: int) -> TFTensorDataset:
        # Every silo takes part in every round, so that the calls for a silo number its rounds.
        rows = workload.order[rounds_of_silo[silo], parts[silo]]
        rounds_of_silo[silo] += 1
        return TFTensorDataset(tf.constant(workload.features[rows]), tf.constant(workload.labels[rows]))

    sampler = get_user_sampler("minimize_reuse", list(range(len(parts))))
    return FederatedDataset(make_dataset, sampler)


if __name__ == "__main__":
    contract.run_contender(train)
