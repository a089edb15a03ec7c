import hypothesis
import numpy as np
import pytest

from tests.tff_runtime.aggregation import numpy_reference
from tests.tff_runtime.aggregation import updates as updates_lib
from tff_runtime.aggregation import geometric_median
from tff_runtime.settings import aggregations


@pytest.mark.parametrize("silos", [1, 2, 7, 8])
def test_takes_the_steps_of_the_algorithm_from_the_weighted_median(silos):
    updates, weights = updates_lib.random_updates(silos), np.arange(1.0, silos + 1)
    result, _ = updates_lib.aggregate(aggregations.GeometricMedian(3, smoothing=0.1), updates, weights)
    start = [numpy_reference.weighted_median(column, weights) for column in updates.T]
    expected = numpy_reference.weiszfeld(updates, weights, start, iterations=3, smoothing=0.1)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)


def test_many_steps_reach_the_point_of_smallest_mean_distance():
    updates, weights = updates_lib.random_updates(9), np.arange(1.0, 10)
    result, _ = updates_lib.aggregate(aggregations.GeometricMedian(iterations=100), updates, weights)
    differences = result - updates
    # Where the mean distance is smallest, its gradient is zero.
    gradient = np.average(differences / np.linalg.norm(differences, axis=1, keepdims=True), axis=0, weights=weights)
    np.testing.assert_allclose(gradient, np.zeros(6), atol=1e-4)


def test_a_silo_with_most_of_the_weight_decides():
    updates = updates_lib.random_updates(5)
    result, _ = updates_lib.aggregate(aggregations.GeometricMedian(), updates, [1, 1, 10, 1, 1])
    np.testing.assert_allclose(result, updates[2], atol=1e-5)


@hypothesis.given(updates_lib.attacked_updates())
def test_one_silo_cannot_move_it_far_from_the_others(attacked):
    honest, attack = attacked
    updates = np.vstack([honest, attack])
    factory = geometric_median.GeometricMedianFactory(aggregations.GeometricMedian())
    result = factory.aggregate(updates, np.ones(len(updates), np.float32)).numpy()
    # The bound of the geometric median itself, for a share alpha of attackers: 2 (1 - alpha) / (1 - 2 alpha) radii.
    alpha = 1 / len(updates)
    radius = np.linalg.norm(honest - honest.mean(axis=0), axis=1).max()
    assert np.linalg.norm(result - honest.mean(axis=0)) <= 2 * (1 - alpha) / (1 - 2 * alpha) * radius + 1e-4
