import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_federated.statistics import privacy_minimum


def test_without_small_silos_all_are_named():
    publication = privacy_minimum.publish([20, 30, 25], 20)
    assert publication.pooled.tolist() == [False] * 3
    assert publication.group.tolist() == [0, 1, 2]
    assert publication.groups == 3


def test_small_silos_are_pooled_behind_the_named_ones():
    publication = privacy_minimum.publish([5, 30, 9, 40, 8], 20)
    assert publication.group.tolist() == [2, 0, 2, 1, 2]
    assert publication.groups == 3


def test_a_pool_of_one_takes_the_next_smallest_silos():
    # Alone, the silo of 5 rows would be all rows less the named ones.
    publication = privacy_minimum.publish([5, 30, 40, 25], 20)
    assert publication.pooled.tolist() == [True, True, False, True]


def test_a_pool_with_too_few_rows_takes_the_next_smallest_silo():
    publication = privacy_minimum.publish([1, 2, 3, 30, 40], 20)
    assert publication.pooled.tolist() == [True, True, True, True, False]


def test_silos_without_rows_hide_nobody():
    publication = privacy_minimum.publish([0, 0, 5, 30, 40, 50], 20)
    assert publication.pooled.tolist() == [True, True, True, True, True, False]


def test_too_few_rows_altogether_are_not_published():
    assert not privacy_minimum.publish([5, 6], 20).enough_rows
    assert privacy_minimum.publish([5, 15], 20).enough_rows


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 40), st.integers(2, 5))
def test_no_published_group_and_no_difference_of_them_is_small(rows, minimum_rows, minimum_silos):
    publication = privacy_minimum.publish(rows, minimum_rows, minimum_silos)
    sums = np.bincount(publication.group, rows, publication.groups) if rows else np.zeros(0)
    sizes = np.bincount(publication.group, minlength=publication.groups)
    assert publication.enough_rows == (sum(rows) >= minimum_rows)
    if publication.enough_rows:
        assert (sums >= minimum_rows).all()
    if publication.pooled.any():
        assert sizes[-1] == publication.pooled.sum()
        assert sizes[-1] >= min(minimum_silos, len(rows))
        # Nobody is pooled who is larger than somebody named.
        named = np.array(rows)[~publication.pooled]
        assert not len(named) or np.array(rows)[publication.pooled].max() <= named.min()
    assert (sizes[: publication.groups - bool(publication.pooled.any())] == 1).all()


@pytest.mark.parametrize(("minimum_rows", "minimum_silos"), [(0, 3), (20, 1)])
def test_minimums_that_protect_nobody_are_refused(minimum_rows, minimum_silos):
    with pytest.raises(ValueError, match="give at least 1 and 2"):
        privacy_minimum.publish([5], minimum_rows, minimum_silos)


def test_negative_rows_are_refused():
    with pytest.raises(ValueError, match="rows holds 1 negative values"):
        privacy_minimum.publish([5, -1], 20)
