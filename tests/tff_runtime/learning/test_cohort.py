import collections
import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats

from tff_runtime.learning import cohort
from tff_runtime.settings import aggregations, cohorts, combinations

SAMPLES = (cohorts.UniformSample, cohorts.SampleBySize, cohorts.RoundRobin)
row_counts = st.lists(st.integers(1, 10**6), min_size=1, max_size=30).map(np.array)
seeds, round_numbers = st.integers(0, 2**31), st.integers(1, 1000)


@st.composite
def rows_and_sample(draw):
    rows = draw(row_counts)
    return rows, draw(st.sampled_from(SAMPLES))(size=draw(st.integers(1, len(rows))))


def draw_rounds(setting, rows, rounds, seed=5):
    return [cohort.draw(setting, np.asarray(rows), seed, round_number) for round_number in range(1, rounds + 1)]


@hypothesis.given(rows_and_sample(), seeds, round_numbers)
def test_a_cohort_has_its_size_and_every_silo_once_in_ascending_order(case, seed, round_number):
    rows, setting = case
    numbers = cohort.draw(setting, rows, seed, round_number)
    assert len(numbers) == setting.size
    assert set(numbers) <= set(range(len(rows)))
    assert numbers == sorted(set(numbers))
    assert cohort.draw(setting, rows, seed, round_number) == numbers


@hypothesis.given(row_counts, seeds, round_numbers)
def test_all_silos_are_all(rows, seed, round_number):
    assert cohort.draw(cohorts.AllSilos(), rows, seed, round_number) == list(range(len(rows)))


@pytest.mark.parametrize("sample", SAMPLES)
def test_seeds_and_rounds_draw_other_cohorts(sample):
    rows = np.full(40, 100)
    drawn = [tuple(cohort.draw(sample(size=8), rows, seed, t)) for seed in range(4) for t in range(1, 5)]
    assert len(set(drawn)) == len(drawn)


@hypothesis.given(st.integers(1, 30), st.data(), seeds)
def test_a_round_robin_takes_no_silo_again_before_all_others_have_had_their_turn(silos, data, seed):
    size = data.draw(st.integers(1, silos))
    counts = collections.Counter(dict.fromkeys(range(silos), 0))
    for numbers in draw_rounds(cohorts.RoundRobin(size), np.ones(silos), rounds=2 * silos, seed=seed):
        counts.update(numbers)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert set(counts.values()) == {2 * size}


def test_a_round_robin_of_other_seeds_has_another_order():
    orders = {
        tuple(itertools.chain(*draw_rounds(cohorts.RoundRobin(1), np.ones(10), rounds=10, seed=seed)))
        for seed in range(5)
    }
    assert len(orders) == 5


@pytest.mark.parametrize(
    ("setting", "shares"),
    [(cohorts.UniformSample(size=1), [0.25] * 4), (cohorts.SampleBySize(size=1), [0.1, 0.2, 0.3, 0.4])],
)
def test_a_silo_is_drawn_as_often_as_it_should_be(setting, shares):
    drawn = np.ravel(draw_rounds(setting, [100, 200, 300, 400], rounds=2000))
    counts = np.bincount(drawn, minlength=4)
    assert stats.chisquare(counts, 2000 * np.array(shares)).pvalue > 0.001


def test_a_larger_silo_is_in_more_cohorts_of_several():
    counts = np.bincount(np.ravel(draw_rounds(cohorts.SampleBySize(size=2), [10, 100, 1000], rounds=1000)))
    # Without replacement, by hand: the first draw is (10, 100, 1000) / 1110, the second by what is left.
    first = np.array([10, 100, 1000]) / 1110
    second = [sum(first[i] * first[k] / (1 - first[i]) for i in range(3) if i != k) for k in range(3)]
    np.testing.assert_allclose(counts / 1000, first + second, atol=0.05)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_cohort_of_more_silos_than_there_are_is_refused(sample):
    combinations.require_enough_silos(sample(size=3), aggregations.Mean(), silos=3)
    with pytest.raises(ValueError, match=rf"{sample.__name__} has size 4, and there are 3 silos; take a smaller"):
        combinations.require_enough_silos(sample(size=4), aggregations.Mean(), silos=3)


@pytest.mark.parametrize("cohort_of", [cohorts.AllSilos(), cohorts.UniformSample(size=6)])
def test_a_cohort_of_fewer_silos_than_the_aggregation_needs_is_refused(cohort_of):
    # Blanchard et al. need more than 2 f + 2.
    aggregation = aggregations.Zeroing(aggregations.Clipping(aggregations.MultiKrum(byzantine=2)))
    with pytest.raises(ValueError, match="MultiKrum needs 7 silos in a round, and there are 6"):
        combinations.require_enough_silos(cohort_of, aggregation, silos=6)
    combinations.require_enough_silos(cohorts.AllSilos(), aggregation, silos=7)
