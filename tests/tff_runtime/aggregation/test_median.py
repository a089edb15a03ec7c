import hypothesis
import numpy as np
import pytest

from tests.tff_runtime.aggregation import updates as updates_lib
from tff_runtime.aggregation import median
from tff_runtime.settings import aggregations


@pytest.mark.parametrize("silos", [1, 2, 5, 6])
def test_equals_numpy_and_ignores_the_weights(silos):
    updates = updates_lib.random_updates(silos)
    result, _ = updates_lib.aggregate(aggregations.Median(), updates, np.arange(1, silos + 1))
    np.testing.assert_allclose(result, np.median(updates, axis=0), rtol=1e-6)


@hypothesis.given(updates_lib.attacked_updates())
def test_one_silo_cannot_move_it_beyond_the_others(attacked):
    honest, attack = attacked
    updates = np.vstack([honest, attack])
    result = median.MedianFactory().aggregate(updates, np.ones(len(updates), np.float32)).numpy()
    assert (result >= honest.min(axis=0)).all()
    assert (result <= honest.max(axis=0)).all()
