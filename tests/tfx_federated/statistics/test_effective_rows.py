import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_federated.statistics.effective_rows import effective_rows


def test_rows_without_weights_count_as_they_are():
    assert effective_rows([0, 1, 7]).tolist() == [0, 1, 7]


def test_unequal_weights_are_worth_fewer_rows():
    # Weights 3 and 1: (3 + 1)^2 / (9 + 1).
    assert effective_rows([4], [10]) == pytest.approx([1.6])


def test_no_weight_is_worth_no_row():
    assert effective_rows([0.0], [0.0]).tolist() == [0]


@given(weight=st.floats(1e-6, 1e6), rows=st.integers(1, 1000))
def test_equal_weights_are_worth_exactly_their_number_of_rows(weight, rows):
    weights = np.full(rows, weight)
    assert effective_rows([weights.sum()], [(weights**2).sum()]).tolist() == [rows]


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=50))
def test_weights_are_worth_between_one_and_all_rows(weights):
    (rows,) = effective_rows([np.sum(weights)], [np.sum(np.square(weights))])
    assert 1 - 1e-9 <= rows <= len(weights) + 1e-9


@pytest.mark.parametrize(
    ("weights", "squares", "message"),
    [
        ([1.0], [0.0], "squares holds 0 where weights do not"),
        ([-1.0], [1.0], "weights holds 1 negative values"),
        ([1.0, 2.0], [1.0], "must be of one length"),
        ([np.nan], [1.0], "weights holds 1 values that are NaN or infinite"),
        ([[1.0]], [1.0], "weights has shape"),
    ],
)
def test_impossible_sums_are_refused(weights, squares, message):
    with pytest.raises(ValueError, match=message):
        effective_rows(weights, squares)
