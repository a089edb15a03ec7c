import numpy as np
import pytest

from benchmarks.trainer import workloads
from tff_runtime import silo_data


@pytest.fixture(scope="module")
def drawn():
    return workloads.draw("logistic_100", workloads.DESIGNS["logistic_100"], rounds=2)


def test_the_silos_are_unequal_within_the_range(drawn):
    assert len(drawn.counts) == 100
    assert drawn.counts.min() >= 10
    assert drawn.counts.max() <= 1000
    assert drawn.counts.max() > 10 * np.median(drawn.counts) / 2


def test_every_round_trains_every_row_once_in_the_order_of_the_trainer(drawn):
    for round_number, order in enumerate(drawn.order, start=1):
        for silo, part in enumerate(drawn.parts):
            batches = silo_data.batch_indices(
                part.stop - part.start, drawn.batch_size, drawn.seed, round_number, 0, workloads.silo_name(silo)
            )
            np.testing.assert_array_equal(order[part], part.start + np.concatenate(batches))


def test_the_same_workload_is_drawn_each_time(drawn):
    again = workloads.draw("logistic_100", workloads.DESIGNS["logistic_100"], rounds=1)

    np.testing.assert_array_equal(again.features, drawn.features)
    np.testing.assert_array_equal(again.weights[0], drawn.weights[0])


def test_the_power_law_divides_the_largest_silo():
    counts = workloads.power_law_counts(4, 120)(np.random.default_rng(0))

    assert list(counts) == [120, 60, 40, 30]
