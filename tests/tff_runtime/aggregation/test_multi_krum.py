import hypothesis
import numpy as np
import pytest

from tests.tff_runtime.aggregation import numpy_reference
from tests.tff_runtime.aggregation import updates as updates_lib
from tff_runtime.aggregation import multi_krum
from tff_runtime.settings import aggregations


@pytest.mark.parametrize(("silos", "byzantine", "selected"), [(3, 0, 1), (5, 1, 1), (9, 2, 4), (9, 3, 6)])
def test_equals_numpy_and_ignores_the_weights(silos, byzantine, selected):
    updates = updates_lib.random_updates(silos)
    setting = aggregations.MultiKrum(byzantine, selected)
    result, _ = updates_lib.aggregate(setting, updates, np.arange(1, silos + 1))
    np.testing.assert_allclose(result, numpy_reference.multi_krum(updates, byzantine, selected), rtol=1e-5, atol=1e-7)


def test_selects_all_but_the_byzantine_by_default():
    updates = updates_lib.random_updates(8)
    result, _ = updates_lib.aggregate(aggregations.MultiKrum(byzantine=2), updates, np.ones(8))
    np.testing.assert_allclose(result, numpy_reference.multi_krum(updates, 2, selected=6), rtol=1e-5, atol=1e-7)


def test_near_updates_far_from_zero_are_told_apart():
    # In float32 the sums of squares, 6e6, are exact to 0.5; the squared distances are near 1e-3.
    updates = np.full((12, 6), 1e3, np.float32) + updates_lib.random_updates(12) * np.float32(1e-2)
    result, _ = updates_lib.aggregate(aggregations.MultiKrum(1, selected=4), updates, np.ones(12))
    expected = numpy_reference.multi_krum(updates, byzantine=1, selected=4)
    np.testing.assert_allclose(result - updates[0], expected - updates[0], atol=2e-4)


def test_too_few_silos_of_weight_are_refused():
    updates = updates_lib.random_updates(7)
    with pytest.raises(Exception, match=r"byzantine = 2 needs at least 7 silos .* \[6\]"):
        updates_lib.aggregate(aggregations.MultiKrum(byzantine=2), updates, [1, 1, 1, 0, 1, 1, 1])


@hypothesis.given(updates_lib.attacked_updates())
def test_one_silo_far_away_is_left_out(attacked):
    honest, attack = attacked
    updates = np.vstack([honest, attack])
    factory = multi_krum.MultiKrumFactory(aggregations.MultiKrum(byzantine=1))
    result = factory.aggregate(updates, np.ones(len(updates), np.float32)).numpy()
    np.testing.assert_allclose(result, honest.mean(axis=0), atol=1e-6)
