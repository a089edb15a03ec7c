"""The draws are not seeded. Bounds are six standard deviations: what is right fails once in many millions of runs."""

import numpy as np
import pytest

from tff_runtime.privacy import poisson_batches


def inclusions(order, rows):
    """How often each row is in each step's batch; `(steps, rows)`."""
    steps = order.shape[0]
    counts = np.zeros((steps, rows), int)
    for step in range(steps):
        np.add.at(counts[step], order[step][order[step] >= 0], 1)
    return counts


def test_every_row_is_drawn_with_the_stated_probability_independent_of_steps_and_other_rows():
    sampled = poisson_batches.PoissonSampling(rows=40, batch_size=8, steps=5000)
    assert sampled.probability == 0.2
    counts = inclusions(poisson_batches.draw([sampled])[0], rows=40)
    assert counts.max() == 1, "a row is at most once in a batch"
    deviation = np.sqrt(5000 * 0.2 * 0.8)
    assert np.abs(counts.sum(axis=0) - 1000).max() < 6 * deviation
    assert np.abs(np.corrcoef(counts.T) - np.eye(40)).max() < 6 / np.sqrt(5000)
    of_next_step = np.mean((counts[1:] - 0.2) * (counts[:-1] - 0.2)) / (0.2 * 0.8)
    assert abs(of_next_step) < 6 / np.sqrt(40 * 4999)
    # Batches of fixed size, which shuffling gives, would have no variance.
    sizes = counts.sum(axis=1)
    assert abs(sizes.var() / (40 * 0.2 * 0.8) - 1) < 6 * np.sqrt(2 / 5000)


def test_a_silo_with_fewer_rows_than_a_batch_uses_all_of_them_in_each_step():
    sampled = poisson_batches.sampling(rows=5, batch_size=8, local_epochs=3)
    assert (sampled.probability, sampled.steps, sampled.expected_batch_size) == (1.0, 3, 5)
    counts = inclusions(poisson_batches.draw([sampled])[0], rows=5)
    np.testing.assert_array_equal(counts, np.ones((3, 5)))


@pytest.mark.parametrize(("rows", "steps"), [(64, 4), (65, 6), (1, 2)])
def test_a_round_has_as_many_steps_as_its_epochs_have_batches(rows, steps):
    assert poisson_batches.sampling(rows, batch_size=32, local_epochs=2).steps == steps


def test_all_silos_have_the_same_room_with_padding_behind_the_rows():
    samplings = [poisson_batches.sampling(rows, batch_size=4, local_epochs=1) for rows in (3, 50, 17)]
    drawn = poisson_batches.draw(samplings)
    room = poisson_batches.capacity(4)
    assert [order.shape for order in drawn] == [(1, room), (13, room), (5, room)]
    for order, sampled in zip(drawn, samplings, strict=True):
        is_row = order >= 0
        assert (is_row[:, 1:] <= is_row[:, :-1]).all(), "no gap between the rows of a batch"
        assert order.max() < sampled.rows


def test_a_batch_that_does_not_fit_makes_room_instead_of_losing_rows(monkeypatch):
    sampled = poisson_batches.PoissonSampling(rows=400, batch_size=16, steps=2000)
    usual = poisson_batches.capacity(16)
    monkeypatch.setattr(poisson_batches, "_EXCESS_PROBABILITY", 0.5)
    assert poisson_batches.capacity(16) == 16 < usual
    (order,) = poisson_batches.draw([sampled])
    assert order.shape[1] in (32, 64)
    mean_size = (order >= 0).sum() / 2000
    assert abs(mean_size - 16) < 6 * np.sqrt(16 / 2000)


def test_most_batches_fit():
    sampled = poisson_batches.PoissonSampling(rows=10_000, batch_size=32, steps=20_000)
    sizes = (poisson_batches.draw([sampled])[0] >= 0).sum(axis=1)
    assert sizes.max() <= poisson_batches.capacity(32) < 2 * 32


def test_no_seed_decides_the_draw():
    sampled = poisson_batches.sampling(rows=1000, batch_size=100, local_epochs=1)
    drawn = []
    for _ in range(2):
        np.random.seed(0)
        drawn.append(inclusions(poisson_batches.draw([sampled])[0], rows=1000))
    assert (drawn[0] != drawn[1]).any()
