import math

import hypothesis
from hypothesis import strategies as st

from tff_runtime.contexts import silo_groups

steps_and_rows = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 5000)), min_size=1, max_size=150)
rounds = st.fixed_dictionaries(
    {
        "row_bytes": st.integers(1, 10**5),
        "weights": st.integers(1, 10**6),
        "threads": st.integers(1, 8),
        "largest": st.integers(1, silo_groups.GROUP_SIZES[-1]),
    }
)


def form(silos, **round_of):
    steps, rows = zip(*silos, strict=True)
    return silo_groups.form_groups(list(steps), list(rows), **round_of)


def small_silos(steps, threads=1, row_bytes=4, weights=10):
    return silo_groups.form_groups(steps, steps, row_bytes=row_bytes, weights=weights, threads=threads)


@hypothesis.given(steps_and_rows, rounds)
def test_every_silo_is_in_exactly_one_group(silos, round_of):
    positions = [position for group in form(silos, **round_of) for position in group.positions]
    assert sorted(positions) == list(range(len(silos)))


@hypothesis.given(steps_and_rows, rounds)
def test_a_group_is_padded_to_the_next_of_a_few_sizes(silos, round_of):
    for group in form(silos, **round_of):
        assert group.size in silo_groups.GROUP_SIZES
        smaller = [size for size in silo_groups.GROUP_SIZES if size < group.size]
        assert max(smaller, default=0) < len(group.positions) <= group.size


@hypothesis.given(steps_and_rows, rounds)
def test_a_group_of_several_silos_fits_into_caches_and_memory(silos, round_of):
    for group in form(silos, **round_of):
        if len(group.positions) == 1:
            continue
        assert len(group.positions) * round_of["weights"] <= 2**19
        longest = max(silos[position][1] for position in group.positions)
        assert group.size * longest * round_of["row_bytes"] <= 2**27


@hypothesis.given(steps_and_rows, rounds)
def test_no_group_is_larger_than_allowed_or_than_what_every_thread_gets(silos, round_of):
    share = math.ceil(len(silos) / round_of["threads"])
    for group in form(silos, **round_of):
        assert len(group.positions) <= min(round_of["largest"], share)


@hypothesis.given(steps_and_rows, rounds)
def test_no_silo_waits_for_more_than_half_of_its_groups_steps(silos, round_of):
    longest_of_groups = []
    for group in form(silos, **round_of):
        steps = [silos[position][0] for position in group.positions]
        assert steps == sorted(steps, reverse=True)
        assert 2 * steps[-1] >= steps[0]
        longest_of_groups.append(steps[0])
    # The longest begin first, so that no thread is left with one at the end.
    assert longest_of_groups == sorted(longest_of_groups, reverse=True)


def test_silos_of_like_steps_go_together():
    groups = small_silos([3, 40, 2, 39, 4, 41])
    assert [group.positions for group in groups] == [(5, 1, 3), (4, 0, 2)]
    assert [group.size for group in groups] == [4, 4]


def test_many_small_silos_are_shared_out_among_the_threads():
    assert [len(group.positions) for group in small_silos([1] * 100, threads=1)] == [64, 36]
    assert [len(group.positions) for group in small_silos([1] * 64, threads=4)] == [16] * 4


def test_silos_of_a_large_model_or_of_many_bytes_are_alone():
    assert [group.size for group in small_silos([5] * 3, weights=2**20)] == [1] * 3
    assert [group.size for group in small_silos([5] * 3, row_bytes=2**25)] == [1] * 3
