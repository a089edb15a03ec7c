import numpy as np
import pytest

from tests.tff_runtime.aggregation import updates as updates_lib
from tff_runtime.aggregation import aggregator
from tff_runtime.settings import aggregations


def clipped(updates, norm):
    norms = np.linalg.norm(updates, axis=1, keepdims=True)
    return updates * np.minimum(1, norm / norms)


def test_mean_is_weighted():
    updates = updates_lib.random_updates(4)
    result, _ = updates_lib.aggregate(aggregations.Mean(), updates, [1, 2, 3, 4])
    np.testing.assert_allclose(result, np.average(updates, axis=0, weights=[1, 2, 3, 4]), rtol=1e-5)


def test_mean_without_any_weight_is_zero():
    result, _ = updates_lib.aggregate(aggregations.Mean(), np.zeros((2, 6), np.float32), [0, 0])
    np.testing.assert_array_equal(result, np.zeros(6))


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (aggregations.Mean(), lambda updates, weights: np.average(updates, axis=0, weights=weights)),
        (aggregations.Median(), lambda updates, weights: np.median(updates, axis=0)),
    ],
)
def test_clipping_to_a_fixed_norm_goes_around_another_aggregation(inner, expected):
    updates, weights = updates_lib.random_updates(6), np.arange(1, 7)
    setting = aggregations.Clipping(inner, initial_norm=2.0, learning_rate=0)
    result, measurements = updates_lib.aggregate(setting, updates, weights)
    np.testing.assert_allclose(result, expected(clipped(updates, 2.0), weights), rtol=1e-5, atol=1e-7)
    assert measurements["clipping_norm"] == 2.0
    assert measurements["clipped_count"] == (np.linalg.norm(updates, axis=1) > 2.0).sum()


def run_twice(setting, updates):
    process = aggregator.build(setting).create(updates_lib.VALUE_TYPE, updates_lib.WEIGHT_TYPE)
    silos, weights = [updates_lib.as_tensors(row) for row in updates], [np.float32(1)] * len(updates)
    first = process.next(process.initialize(), silos, weights)
    return first.measurements, process.next(first.state, silos, weights).measurements


def test_the_clipping_norm_follows_its_quantile():
    updates = updates_lib.random_updates(9)
    setting = aggregations.Clipping(quantile=0.7, initial_norm=2.0, learning_rate=0.3)
    first, second = run_twice(setting, updates)
    below = (np.linalg.norm(updates, axis=1) <= 2.0).mean()
    assert first["clipping_norm"] == 2.0
    np.testing.assert_allclose(second["clipping_norm"], 2.0 * np.exp(-0.3 * (below - 0.7)), rtol=1e-5)


def test_the_zeroing_threshold_follows_its_quantile():
    updates = updates_lib.random_updates(9)
    setting = aggregations.Zeroing(quantile=0.6, multiplier=1.5, initial_threshold=1.2, learning_rate=0.4)
    first, second = run_twice(setting, updates)
    below = (np.abs(updates).max(axis=1) <= 1.2).mean()
    np.testing.assert_allclose(first["zeroing_norm"], 1.5 * 1.2, rtol=1e-6)
    np.testing.assert_allclose(second["zeroing_norm"], 1.5 * 1.2 * np.exp(-0.4 * (below - 0.6)), rtol=1e-5)


def test_zeroing_makes_an_update_beyond_the_threshold_zero():
    updates = updates_lib.random_updates(4)
    updates[1, 2] = 1e6
    result, measurements = updates_lib.aggregate(aggregations.Zeroing(), updates, [1, 2, 3, 4])
    updates[1] = 0
    np.testing.assert_allclose(result, np.average(updates, axis=0, weights=[1, 2, 3, 4]), rtol=1e-5, atol=1e-7)
    assert measurements["zeroed_count"] == 1


def test_another_setting_is_refused():
    with pytest.raises(TypeError, match="aggregation is 'mean'; it must be one of Mean, Median"):
        aggregator.build("mean")
