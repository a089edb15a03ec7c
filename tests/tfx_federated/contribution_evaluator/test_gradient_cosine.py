import dataclasses

import numpy as np
import pytest

from tfx_federated.contribution_evaluator import contributions, gradient_cosine, methods


def test_later_rounds_count_more_and_missed_ones_not_at_all():
    cosines = np.array([[0.8, np.nan, np.nan], [0.2, 0.5, np.nan], [0.4, np.nan, np.nan]])
    found = gradient_cosine.moving_mean(cosines, 0.5)
    np.testing.assert_allclose(found, [(0.25 * 0.8 + 0.5 * 0.2 + 0.4) / 1.75, 0.5, np.nan])


def test_without_memory_the_last_round_tells():
    assert gradient_cosine.moving_mean(np.array([[0.1, 0.9], [0.7, np.nan]]), 0.0).tolist() == [0.7, 0.9]


def test_a_silo_of_zero_updates_has_no_cosine(ledger):
    found = gradient_cosine.compute(ledger, methods.GradientCosine())
    values = dict(zip(ledger.silos, found.values.tolist(), strict=True))
    assert np.isnan(values.pop("idle"))
    assert max(values, key=values.get) == "large"
    assert found.gained is found.efficiency_gap is None


def test_a_ledger_without_cosines_is_refused(ledger):
    bare = dataclasses.replace(ledger, cosine=np.full_like(ledger.cosine, np.nan))
    with pytest.raises(contributions.NotComputedError, match="privacy hides the single silos"):
        gradient_cosine.compute(bare, methods.GradientCosine())
