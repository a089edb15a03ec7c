"""Federated averaging of the test model (3-4-1, tanh, sigmoid, cross-entropy) in NumPy, sharing only the row order."""

import numpy as np

from tff_runtime import silo_data


def train_silo(weights, x, y, job, silo, round_number, proximal_strength=0.0):
    start = [np.array(value, np.float64) for value in weights]
    w1, b1, w2, b2 = (value.copy() for value in start)
    for epoch in range(job.local_epochs):
        for rows in silo_data.batch_indices(len(x), job.batch_size, job.seed, round_number, epoch, silo):
            hidden = np.tanh(x[rows] @ w1 + b1)
            probability = 1 / (1 + np.exp(-(hidden @ w2 + b2)))
            output_gradient = (probability - y[rows]) / len(rows)
            hidden_gradient = output_gradient @ w2.T * (1 - hidden**2)
            gradients = [
                x[rows].T @ hidden_gradient,
                hidden_gradient.sum(axis=0),
                hidden.T @ output_gradient,
                output_gradient.sum(axis=0),
            ]
            for value, gradient, origin in zip((w1, b1, w2, b2), gradients, start, strict=True):
                value -= job.client_learning_rate * (gradient + proximal_strength * (value - origin))
    return [w1, b1, w2, b2]


def federated_averaging(weights, rows_of_silo, job, rounds, silo_weights=None, proximal_strength=0.0):
    silo_weights = silo_weights or [len(x) for x, _ in rows_of_silo.values()]
    for round_number in range(1, rounds + 1):
        trained = [
            train_silo(weights, x, y, job, silo, round_number, proximal_strength)
            for silo, (x, y) in rows_of_silo.items()
        ]
        weights = [np.average(values, axis=0, weights=silo_weights) for values in zip(*trained, strict=True)]
    return weights


def local_training(weights, silo, x, y, job, rounds):
    for round_number in range(1, rounds + 1):
        weights = train_silo(weights, x, y, job, silo, round_number)
    return weights
