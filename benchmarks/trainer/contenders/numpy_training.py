"""Federated averaging in NumPy: what the arithmetic costs without a framework."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.trainer import contract, network


def train_silo(
    weights: Sequence[np.ndarray], features: np.ndarray, labels: np.ndarray, workload: contract.Workload
) -> list[np.ndarray]:
    """Returns the weights after one pass of SGD over a silo's rows, which are in the order of training."""
    trained = [values.copy() for values in weights]
    rate = np.float32(workload.learning_rate)
    for batch in workload.batches(len(features)):
        for values, gradient in zip(trained, network.gradients(trained, features[batch], labels[batch]), strict=True):
            values -= rate * gradient
    return trained


def rounds(workload: contract.Workload) -> Iterator[list[np.ndarray]]:
    """Yields the global weights after each round."""
    weights = list(workload.weights)
    shares = (workload.counts / workload.counts.sum()).astype(np.float32)
    for order in workload.order:
        mean = [np.zeros_like(values) for values in weights]
        for share, part in zip(shares, workload.parts, strict=True):
            rows = order[part]
            trained = train_silo(weights, workload.features[rows], workload.labels[rows], workload)
            for total, values in zip(mean, trained, strict=True):
                total += share * values
        weights = mean
        yield weights


def train(workload: contract.Workload, number_of_rounds: int) -> contract.Result:
    """Trains."""
    seconds = []
    all_rounds = rounds(workload)
    for _ in range(number_of_rounds):
        start = time.monotonic()
        weights = next(all_rounds)
        seconds.append(time.monotonic() - start)
    return contract.Result(weights, seconds, {"numpy": np.__version__})


if __name__ == "__main__":
    contract.run_contender(train)
