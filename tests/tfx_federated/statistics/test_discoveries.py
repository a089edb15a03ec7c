import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_federated.statistics import discoveries

# The 15 p-values of Benjamini and Hochberg (1995), Section 3.2.
PAPER = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip


def test_the_first_four_of_the_papers_example_are_found():
    assert discoveries.discover(PAPER, 0.05).found.tolist() == [True] * 4 + [False] * 11


# No p-value lies on the line, where rounding decides.
@given(
    st.lists(st.integers(0, 100).map(lambda percent: percent / 100), max_size=30),
    st.sampled_from([0.05003, 0.11007, 0.30011]),
)
def test_found_are_those_up_to_the_last_below_the_line(p_values, rate):
    p_values = np.array(p_values)
    ordered = np.sort(p_values)
    below = np.flatnonzero(ordered <= rate * (np.arange(len(ordered)) + 1) / len(p_values)) if len(p_values) else []
    expected = p_values <= ordered[below[-1]] if len(below) else np.zeros(len(p_values), bool)
    assert discoveries.discover(p_values, rate).found.tolist() == expected.tolist()


def test_a_silo_is_found_at_its_adjusted_rate_and_at_none_below():
    adjusted = discoveries.discover(PAPER).adjusted
    assert adjusted[3] == pytest.approx(0.0095 * 15 / 4)
    assert discoveries.discover(PAPER, adjusted[3] + 1e-9).found[3]
    assert not discoveries.discover(PAPER, adjusted[3] - 1e-9).found[3]


def test_silos_without_a_claim_are_not_tested_and_cost_nothing():
    mixed = [np.nan if place % 2 else PAPER[place // 2] for place in range(2 * len(PAPER))]
    found = discoveries.discover(mixed)
    assert found.found[::2].tolist() == discoveries.discover(PAPER).found.tolist()
    assert np.isnan(found.adjusted[1::2]).all()
    assert not found.found[1::2].any()


def test_nothing_is_found_among_no_silos():
    assert discoveries.discover([]).found.tolist() == []
    assert discoveries.discover([np.nan]).found.tolist() == [False]


@pytest.mark.parametrize("p_value", [-0.1, 1.1])
def test_a_p_value_out_of_range_is_refused(p_value):
    with pytest.raises(ValueError, match="p_values hold values outside of"):
        discoveries.discover([0.5, p_value])


def test_a_rate_out_of_range_is_refused():
    with pytest.raises(ValueError, match="false_discovery_rate is 5"):
        discoveries.discover([0.5], 5)
