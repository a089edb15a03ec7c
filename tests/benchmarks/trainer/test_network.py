import numpy as np

from benchmarks.trainer import network


def test_the_loss_is_the_mean_cross_entropy_of_the_probabilities():
    kernel, bias = np.array([[1.0], [-2.0]]), np.array([0.5])
    features, labels = np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([[1.0], [0.0]])

    probabilities = 1 / (1 + np.exp([0.5, -2.5]))
    expected = -(np.log(probabilities[0]) + np.log(1 - probabilities[1])) / 2

    assert np.isclose(network.loss([kernel, bias], features, labels), expected)


def test_the_loss_of_a_very_wrong_answer_is_finite():
    assert network.loss([np.array([[1000.0]]), np.zeros(1)], np.ones((1, 1)), np.zeros((1, 1))) == 1000


def test_the_gradients_are_the_slopes_of_the_loss(small_workload):
    weights = [values.astype(np.float64) for values in small_workload.weights]
    features, labels = small_workload.features.astype(np.float64), small_workload.labels

    computed = network.gradients(weights, features, labels)

    for values, gradient in zip(weights, computed, strict=True):
        for position in np.ndindex(values.shape):
            losses = []
            for step in (1e-5, -1e-5):
                values[position] += step
                losses.append(network.loss(weights, features, labels))
                values[position] -= step
            assert np.isclose(gradient[position], (losses[0] - losses[1]) / 2e-5, atol=1e-8)
