import dataclasses

import numpy as np

from benchmarks.trainer import network
from benchmarks.trainer.contenders import numpy_training


def test_a_silo_takes_one_step_a_batch_in_the_order_of_its_rows(small_workload):
    features, labels = small_workload.features[[2, 0, 1]], small_workload.labels[[2, 0, 1]]
    expected = list(small_workload.weights)
    for batch in ([0, 1], [2]):
        gradients = network.gradients(expected, features[batch], labels[batch])
        expected = [values - 0.1 * gradient for values, gradient in zip(expected, gradients, strict=True)]

    trained = numpy_training.train_silo(small_workload.weights, features, labels, small_workload)

    for values, right in zip(trained, expected, strict=True):
        np.testing.assert_allclose(values, right, rtol=1e-5)


def test_the_mean_weighs_silos_by_their_rows(small_workload):
    trained = [
        numpy_training.train_silo(
            small_workload.weights, small_workload.features[rows], small_workload.labels[rows], small_workload
        )
        for rows in ([2, 0, 1], [4, 3], [5])
    ]

    first_round = next(numpy_training.rounds(small_workload))

    for values, of_silos in zip(first_round, zip(*trained, strict=True), strict=True):
        expected = (3 * of_silos[0] + 2 * of_silos[1] + 1 * of_silos[2]) / 6
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_the_initial_weights_are_left_alone_and_a_round_starts_where_the_last_ended(small_workload):
    before = [values.copy() for values in small_workload.weights]

    first, second = numpy_training.rounds(small_workload)

    for values, expected in zip(small_workload.weights, before, strict=True):
        np.testing.assert_array_equal(values, expected)
    later = dataclasses.replace(small_workload, weights=first, order=small_workload.order[1:])
    for values, expected in zip(second, next(numpy_training.rounds(later)), strict=True):
        np.testing.assert_array_equal(values, expected)
