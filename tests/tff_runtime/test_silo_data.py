import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tff_runtime import silo_data


@given(st.integers(1, 200), st.integers(1, 40), st.integers(0, 5), st.text(max_size=4))
def test_an_epoch_takes_every_row_once_in_batches_of_the_given_size(rows, batch_size, round_number, silo):
    batches = silo_data.batch_indices(rows, batch_size, 0, round_number, 0, silo)
    assert sorted(np.concatenate(batches)) == list(range(rows))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    assert 1 <= len(batches[-1]) <= batch_size


def test_the_order_changes_with_seed_round_epoch_and_silo_and_with_nothing_else():
    def order(seed, round_number, epoch, silo):
        return np.concatenate(silo_data.batch_indices(50, 8, seed, round_number, epoch, silo)).tolist()

    variants = [order(0, 1, 0, "a"), order(1, 1, 0, "a"), order(0, 2, 0, "a"), order(0, 1, 1, "a"), order(0, 1, 0, "b")]
    assert len({tuple(variant) for variant in variants}) == len(variants)
    assert order(0, 1, 0, "a") == variants[0]


def test_evaluation_keeps_all_rows_in_their_order(make_job):
    directory = make_job({"a": 30, "b": 6})
    data = silo_data.SiloData(directory, directory.read_job(), ["x"])
    silo = directory.read_job().silos["eval"][1]
    x = np.concatenate([features["x"].numpy() for features, _ in data.evaluation_dataset("eval", silo)])
    np.testing.assert_array_equal(x, np.load(directory.data / "eval" / "x.npy")[silo.start : silo.start + silo.count])
