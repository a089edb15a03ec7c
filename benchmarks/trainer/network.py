"""The model of every workload in NumPy: dense layers with a ReLU between them, one logit, binary cross-entropy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

Weights = Sequence[np.ndarray]


def initial_weights(random: np.random.Generator, layer_sizes: Sequence[int]) -> list[np.ndarray]:
    """Draws weights as Keras' layers do by default: kernels by Glorot and Bengio (AISTATS 2010, equation 16), biases 0.

    Args:
        random: Decides.
        layer_sizes: Number of features, then the units of each layer.
    """
    weights = []
    for inputs, units in itertools.pairwise(layer_sizes):
        limit = np.sqrt(6 / (inputs + units))
        weights += [random.uniform(-limit, limit, (inputs, units)), np.zeros(units)]
    return [values.astype(np.float32) for values in weights]


def probabilities(weights: Weights, features: np.ndarray) -> np.ndarray:
    """Returns the probability of label 1 of each row, shape (rows, 1)."""
    return _sigmoid(_activations(weights, features)[-1])


def loss(weights: Weights, features: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean binary cross-entropy, added up in float64.

    Args:
        weights: Kernel and bias of each layer in turn.
        features: Shape (rows, features).
        labels: 0 or 1, shape (rows, 1).
    """
    logits = _activations(weights, features)[-1].astype(np.float64)
    return float(np.mean(np.logaddexp(0, logits) - labels * logits))


def gradients(weights: Weights, features: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Returns the gradient of the mean binary cross-entropy by each of the weights, in their order."""
    activations = _activations(weights, features)
    signal = (_sigmoid(activations[-1]) - labels) / np.float32(len(labels))
    result: list[np.ndarray] = []
    for layer in reversed(range(len(weights) // 2)):
        result[:0] = [activations[layer].T @ signal, signal.sum(axis=0)]
        if layer:
            signal = (signal @ weights[2 * layer].T) * (activations[layer] > 0)
    return result


def _activations(weights: Weights, features: np.ndarray) -> list[np.ndarray]:
    """Returns the input of each layer, then the logits."""
    activations = [features]
    layers = len(weights) // 2
    for layer in range(layers):
        values = activations[-1] @ weights[2 * layer] + weights[2 * layer + 1]
        activations.append(np.maximum(values, 0) if layer < layers - 1 else values)
    return activations


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(logits / 2)) / 2
