import numpy as np
import pytest

from tests.tff_runtime.aggregation import updates as updates_lib
from tff_runtime.settings import aggregations

SETTINGS = [
    aggregations.Median(),
    aggregations.TrimmedMean(0.25),
    aggregations.GeometricMedian(),
    aggregations.MultiKrum(byzantine=1),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_silo_of_weight_zero_takes_no_part(setting):
    updates = updates_lib.random_updates(7)
    weights = np.array([3, 1, 0, 2, 0, 5, 4.0])
    updates[weights == 0] = 0
    result, measurements = updates_lib.aggregate(setting, updates, weights)
    alone, _ = updates_lib.aggregate(setting, updates[weights > 0], weights[weights > 0])
    np.testing.assert_allclose(result, alone, rtol=1e-6)
    assert measurements["silos"] == 5


@pytest.mark.parametrize("setting", SETTINGS)
def test_without_any_weight_the_update_is_zero(setting):
    result, measurements = updates_lib.aggregate(setting, updates_lib.random_updates(3), [0, 0, 0])
    np.testing.assert_array_equal(result, np.zeros(6))
    assert measurements["silos"] == 0


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_order_of_the_silos_does_not_matter(setting):
    updates = updates_lib.random_updates(6)
    weights = np.arange(1, 7)
    result, _ = updates_lib.aggregate(setting, updates, weights)
    reversed_result, _ = updates_lib.aggregate(setting, updates[::-1], weights[::-1])
    np.testing.assert_allclose(result, reversed_result, rtol=1e-5)
