import hypothesis
import numpy as np
import pytest

from tests.tff_runtime.aggregation import numpy_reference
from tests.tff_runtime.aggregation import updates as updates_lib
from tff_runtime.aggregation import trimmed_mean
from tff_runtime.settings import aggregations


@pytest.mark.parametrize(("silos", "fraction"), [(1, 0.4), (5, 0.2), (5, 0.0), (6, 0.4), (9, 0.3), (10, 0.1)])
def test_equals_numpy_and_ignores_the_weights(silos, fraction):
    updates = updates_lib.random_updates(silos)
    result, _ = updates_lib.aggregate(aggregations.TrimmedMean(fraction), updates, np.arange(1, silos + 1))
    np.testing.assert_allclose(result, numpy_reference.trimmed_mean(updates, fraction), rtol=1e-5, atol=1e-7)


@hypothesis.given(updates_lib.attacked_updates())
def test_as_many_silos_as_are_trimmed_cannot_move_it_beyond_the_others(attacked):
    honest, attack = attacked
    updates = np.vstack([honest, attack])
    factory = trimmed_mean.TrimmedMeanFactory(aggregations.TrimmedMean(0.2))
    result = factory.aggregate(updates, np.ones(len(updates), np.float32)).numpy()
    assert (result >= honest.min(axis=0) - 1e-6).all()
    assert (result <= honest.max(axis=0) + 1e-6).all()
