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


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 3), st.integers(0, 3))
def test_the_batches_of_all_epochs_as_an_array_are_those_of_each_epoch(rows, batch_size, epochs, round_number):
    order = silo_data.batch_order(rows, batch_size, epochs, 5, round_number, "a")
    batches = [
        batch
        for epoch in range(epochs)
        for batch in silo_data.batch_indices(rows, batch_size, 5, round_number, epoch, "a")
    ]
    assert order.shape == (len(batches), batch_size)
    for row, batch in zip(order, batches, strict=True):
        assert row[row >= 0].tolist() == batch.tolist()
        assert (row[len(batch) :] == -1).all()


def test_a_silos_rows_are_its_part_of_the_arrays(make_job):
    directory = make_job({"a": 30, "b": 6})
    data = silo_data.SiloData(directory, directory.read_job(), ["x"])
    silo = directory.read_job().silos["eval"][1]
    features, labels = data.rows("eval", silo)
    rows = slice(silo.start, silo.start + silo.count)
    np.testing.assert_array_equal(features["x"], np.load(directory.data / "eval" / "x.npy")[rows])
    np.testing.assert_array_equal(labels, np.load(directory.data / "eval" / "label.npy")[rows])
    assert data.row_bytes("eval") == 4 * 4


def test_a_training_dataset_has_the_batches_in_their_order(make_job):
    directory = make_job({"a": 11, "b": 5})
    job = directory.read_job()
    x = np.load(directory.data / "train" / "x.npy")
    order = np.array([[3, 0, 4], [1, 2, -1]], np.int32)
    dataset = silo_data.SiloData(directory, job, ["x"]).training_dataset(job.silos["train"][1], order)
    batches = [features["x"].numpy() for features, _ in dataset]
    np.testing.assert_array_equal(batches[0], x[[14, 11, 15]])
    np.testing.assert_array_equal(batches[1], x[[12, 13]])
