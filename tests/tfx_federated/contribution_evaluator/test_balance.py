import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_federated.contribution_evaluator import balance

NAN = math.nan


def test_balance_is_the_correlation_over_silos_with_both():
    gave = np.array([1.0, 2.0, 3.0, 4.0, 9.0, NAN])
    got = np.array([2.0, 1.0, 5.0, 4.0, NAN, 7.0])
    found = balance.of_silos(gave, got, 0.95)
    assert found.silos == 4
    assert found.pearson == pytest.approx(np.corrcoef(gave[:4], got[:4])[0, 1])
    # Ranks 1 2 3 4 and 2 1 4 3: 1 - 6 * (1 + 1 + 1 + 1) / (4 * 15).
    assert found.spearman == pytest.approx(0.6)
    # Fisher: tanh(atanh(r) +- 1.96 / sqrt(n - 3)).
    centre = math.atanh(found.pearson)
    assert found.pearson_lower == pytest.approx(math.tanh(centre - 1.959964), abs=1e-6)
    assert found.pearson_upper == pytest.approx(math.tanh(centre + 1.959964), abs=1e-6)


@pytest.mark.parametrize(
    ("gave", "got"),
    [([1, 2, 3], [1, 2, 3]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [2, 2, 2, 2]), ([1, 2, NAN, NAN], [1] * 4)],
)
def test_too_few_silos_or_equal_ones_have_no_balance(gave, got):
    assert balance.of_silos(np.array(gave, float), np.array(got, float), 0.95) is None


def test_concentration_of_values_by_hand():
    found = balance.concentration(np.array([0.5, 0.3, 0.2, -1.0, NAN]))
    assert found.share_of_largest == pytest.approx(0.5)
    assert found.silos_for_half == 1
    # Sorted 0 .2 .3 .5, weights -3 -1 1 3: (-.2 + .3 + 1.5) / 4.
    assert found.gini == pytest.approx(0.4)
    assert found.jain == pytest.approx(1 / (4 * 0.38))
    assert balance.concentration(np.array([0.4, 0.3, 0.3])).silos_for_half == 2


def test_where_nobody_has_anything_nothing_is_concentrated():
    found = balance.concentration(np.array([-1.0, 0.0, NAN]))
    assert found.silos_for_half == 0
    assert math.isnan(found.share_of_largest)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_shares_sum_to_one_and_belong_to_those_above_zero(values):
    values = np.array(values)
    shares = balance.positive_shares(values)
    if (values > 0).any():
        assert shares.sum() == pytest.approx(1)
        assert (shares[values <= 0] == 0).all()
        least = balance.concentration(values).silos_for_half
        assert np.sort(shares)[::-1][:least].sum() >= 0.5 - 1e-9
        assert least == 1 or np.sort(shares)[::-1][: least - 1].sum() < 0.5
    else:
        assert np.isnan(shares).all()
