"""The algorithms in NumPy and float64, from the papers; only the order of the rows is shared with what is tested.

The model is that of the tests: 3 inputs, 4 tanh units, one sigmoid, cross-entropy. Weights are one flat vector.
"""

import numpy as np

from tff_runtime import silo_data

SHAPES = [(3, 4), (4,), (4, 1), (1,)]


def flat(weights):
    return np.concatenate([np.asarray(weight, np.float64).ravel() for weight in weights])


def parts(vector):
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES])
    return [piece.reshape(shape) for piece, shape in zip(np.split(vector, ends[:-1]), SHAPES, strict=True)]


def forward(vector, x):
    w1, b1, w2, b2 = parts(vector)
    hidden = np.tanh(x @ w1 + b1)
    return hidden, 1 / (1 + np.exp(-(hidden @ w2 + b2)))


def loss(vector, rows):
    x, y = rows
    _, probability = forward(vector, x)
    return -np.mean(y * np.log(probability) + (1 - y) * np.log(1 - probability))


def gradient(vector, rows):
    x, y = rows
    hidden, probability = forward(vector, x)
    output = (probability - y) / len(x)
    inner = output @ parts(vector)[2].T * (1 - hidden**2)
    return flat([x.T @ inner, inner.sum(axis=0), hidden.T @ output, output.sum(axis=0)])


class Silos:
    """Rows of each silo by name, and SGD over their batches."""

    def __init__(self, rows, job):
        self.rows = rows
        self.job = job
        self.counts = np.array([len(x) for x, _ in rows.values()], np.float64)

    def sgd(self, vector, silo, round_number, rate=None, change=lambda g, v: g, epochs=None):
        """Returns the weights after all local steps, and how many there were."""
        x, y = self.rows[silo]
        rate = rate or self.job.client_learning_rate * self.job.client_schedule.factor(round_number)
        steps = 0
        for epoch in range(epochs or self.job.local_epochs):
            for batch in silo_data.batch_indices(len(x), self.job.batch_size, self.job.seed, round_number, epoch, silo):
                vector = vector - rate * change(gradient(vector, (x[batch], y[batch])), vector)
                steps += 1
        return vector, steps


def fedavg(w, silos):
    for t in range(1, silos.job.rounds + 1):
        w = np.average([silos.sgd(w, silo, t)[0] for silo in silos.rows], axis=0, weights=silos.counts)
    return w


def fedsgd(w, silos, rate=1.0):
    for _ in range(silos.job.rounds):
        w = w - rate * np.average([gradient(w, rows) for rows in silos.rows.values()], axis=0, weights=silos.counts)
    return w


def scaffold(w, silos, cohorts=None):
    c, own = np.zeros_like(w), {silo: np.zeros_like(w) for silo in silos.rows}
    names = list(silos.rows)
    for t in range(1, silos.job.rounds + 1):
        cohort = [names[number] for number in cohorts[t - 1]] if cohorts else names
        rate = silos.job.client_learning_rate
        changes, trained = [], []
        for silo in cohort:
            y, steps = silos.sgd(w, silo, t, change=lambda g, v, c=c, k=own[silo]: g - k + c)
            new = own[silo] - c + (w - y) / (steps * rate)
            changes.append(new - own[silo])
            own[silo] = new
            trained.append(y)
        weights = [len(silos.rows[silo][0]) for silo in cohort]
        w = np.average(trained, axis=0, weights=weights)
        c = c + np.sum(changes, axis=0) / len(names)
    return w


def mime_lite(w, silos, beta):
    momentum = np.zeros_like(w)
    for t in range(1, silos.job.rounds + 1):
        full = np.average([gradient(w, rows) for rows in silos.rows.values()], axis=0, weights=silos.counts)
        step = lambda g, v, m=momentum: (1 - beta) * g + beta * m  # noqa: E731
        trained = [silos.sgd(w, silo, t, change=step)[0] for silo in silos.rows]
        w = np.average(trained, axis=0, weights=silos.counts)
        momentum = (1 - beta) * full + beta * momentum
    return w


def qfedavg(w, silos, q):
    lipschitz = 1 / silos.job.client_learning_rate
    for t in range(1, silos.job.rounds + 1):
        numerator, denominator = 0.0, 0.0
        for silo, share in zip(silos.rows, silos.counts, strict=True):
            f = loss(w, silos.rows[silo])
            delta = lipschitz * (w - silos.sgd(w, silo, t)[0])
            numerator = numerator + share * f**q * delta
            denominator += share * (q * f ** (q - 1) * np.sum(delta**2) + lipschitz * f**q)
        w = w - numerator / denominator
    return w


def agnostic(w, silos, rate):
    mixture = np.full(len(silos.rows), 1 / len(silos.rows))
    for t in range(1, silos.job.rounds + 1):
        losses = np.array([loss(w, rows) for rows in silos.rows.values()])
        w = np.average([silos.sgd(w, silo, t)[0] for silo in silos.rows], axis=0, weights=mixture)
        mixture = nearest_in_simplex(mixture + rate * losses)
    return w


def nearest_in_simplex(point):
    """By bisection on the threshold, where the tested code sorts."""
    low, high = point.min() - 1, point.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(point - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(point - low, 0)


def tilted(w, silos, tilt):
    for t in range(1, silos.job.rounds + 1):
        losses = np.array([loss(w, rows) for rows in silos.rows.values()])
        weights = silos.counts * np.exp(tilt * losses)
        w = np.average([silos.sgd(w, silo, t)[0] for silo in silos.rows], axis=0, weights=weights)
    return w


def ditto(w, silos, strength):
    own = dict.fromkeys(silos.rows, w)
    for t in range(1, silos.job.rounds + 1):
        for silo in silos.rows:
            own[silo], _ = silos.sgd(own[silo], silo, t, change=lambda g, v, w=w: g + strength * (v - w))
        w = np.average([silos.sgd(w, silo, t)[0] for silo in silos.rows], axis=0, weights=silos.counts)
    return w, own


def local_layers(w, silos, is_local):
    own = dict.fromkeys(silos.rows, w)
    for t in range(1, silos.job.rounds + 1):
        trained = {silo: silos.sgd(np.where(is_local, own[silo], w), silo, t)[0] for silo in silos.rows}
        mean = np.average(list(trained.values()), axis=0, weights=silos.counts)
        w, own = np.where(is_local, w, mean), trained
    return w, {silo: np.where(is_local, own[silo], w) for silo in own}


def mean_regularized(w, silos, strength):
    own = dict.fromkeys(silos.rows, w)
    for t in range(1, silos.job.rounds + 1):
        for silo in silos.rows:
            own[silo], _ = silos.sgd(own[silo], silo, t, change=lambda g, v, w=w: g + strength * (v - w))
        w = np.average(list(own.values()), axis=0, weights=silos.counts)
    return w, own


def fine_tuning(w, silos, held_out, epochs, rate):
    tuned = {}
    for silo in silos.rows:
        current = tuned[silo] = w
        for epoch in range(1, epochs + 1):
            current, _ = silos.sgd(current, silo, silos.job.rounds + epoch, rate=rate, epochs=1)
            if loss(current, held_out[silo]) < loss(tuned[silo], held_out[silo]):
                tuned[silo] = current
    return w, tuned
