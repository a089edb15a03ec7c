import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tff_runtime import silo_weights

rows = st.lists(st.integers(1, 10**6), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("weighting", "expected"), [("examples", [100, 4, 1]), ("uniform", [1, 1, 1]), ("square_root", [10, 2, 1])]
)
def test_each_weighting_by_hand(weighting, expected):
    assert silo_weights.weights([100, 4, 1], weighting, 1.0) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        # 5 of 10 is the half that 4 and 1 leave.
        (0.5, [5, 4, 1]),
        # 2 of 5 is 0.4 for each of the two that are cut; 1 is left.
        (0.4, [2, 2, 1]),
        (1 / 3, [1, 1, 1]),
    ],
)
def test_a_cap_by_hand(share, expected):
    assert silo_weights.weights([100, 4, 1], "examples", share) == pytest.approx(expected)


@given(rows, st.sampled_from(silo_weights.WEIGHTINGS), st.floats(0.01, 1))
def test_no_silo_has_more_than_its_share_and_nothing_is_cut_without_need(counts, weighting, share):
    share = max(share, 1 / len(counts))
    uncapped = silo_weights.weights(counts, weighting, 1.0)
    capped = silo_weights.weights(counts, weighting, share)
    total = math.fsum(capped)
    assert all(weight <= share * total * (1 + 1e-6) for weight in capped)
    cut = [weight for weight, before in zip(capped, uncapped, strict=True) if weight < before]
    # Those that are cut have all that they may, and so the same.
    assert all(weight == pytest.approx(share * total, rel=1e-6) for weight in cut)
    assert all(weight > 0 for weight in capped)


@given(rows, st.floats(0.01, 1))
def test_a_larger_silo_never_weighs_less(counts, share):
    share = max(share, 1 / len(counts))
    for weighting in silo_weights.WEIGHTINGS:
        weights = silo_weights.weights(sorted(counts), weighting, share)
        assert weights == sorted(weights)


def test_a_share_that_so_few_silos_cannot_have_is_refused():
    with pytest.raises(ValueError, match="and 3 silos cannot all have less"):
        silo_weights.weights([1, 2, 3], "examples", 0.3)
