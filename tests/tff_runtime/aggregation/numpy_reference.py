"""The robust aggregations in NumPy, written from the papers: updates [n, d], weights [n], all silos taking part."""

import numpy as np


def trimmed_mean(updates, fraction):
    columns = []
    for values in np.asarray(updates, np.float64).T:
        ascending = sorted(values)
        trimmed = int(np.floor(fraction * len(values)))
        columns.append(np.mean(ascending[trimmed : len(values) - trimmed]))
    return np.array(columns)


def weighted_median(values, weights):
    """The smallest value at which half of the weight is reached."""
    reached = 0.0
    for value, weight in sorted(zip(values, weights, strict=True)):
        reached += weight
        if reached >= sum(weights) / 2:
            return value
    raise AssertionError("no weight")


def weiszfeld(updates, weights, point, iterations, smoothing):
    updates = np.asarray(updates, np.float64)
    for _ in range(iterations):
        beta = [
            weight / max(smoothing, np.linalg.norm(update - point))
            for update, weight in zip(updates, weights, strict=True)
        ]
        point = np.average(updates, axis=0, weights=beta)
    return point


def multi_krum(updates, byzantine, selected):
    updates = np.asarray(updates, np.float64)
    n = len(updates)
    scores = []
    for i in range(n):
        distances = sorted(np.sum((updates[i] - updates[j]) ** 2) for j in range(n) if j != i)
        scores.append(sum(distances[: n - byzantine - 2]))
    return updates[np.argsort(scores)[:selected]].mean(axis=0)
