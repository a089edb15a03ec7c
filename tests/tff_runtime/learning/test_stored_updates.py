import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tff_runtime.learning import sent_updates, stored_updates

GLOBAL = [np.zeros((2, 2), np.float32), np.ones(1, np.float32)]


def store(folder, maximum_bytes=2**20):
    events = []
    stored = stored_updates.StoredUpdates(
        folder, maximum_bytes, lambda event, **fields: events.append((event, fields["round"]))
    )
    return stored, events


def add(stored, round_number, vectors=None, finite=(True, True, True)):
    vectors = np.arange(15, dtype=np.float32).reshape(3, 5) if vectors is None else vectors
    sent = sent_updates.SentUpdates(vectors, np.arange(1, len(vectors) + 1, dtype=np.float32))
    stored.add_round(round_number, [f"s{number}" for number in range(len(vectors))], sent, np.array(finite), GLOBAL)


def read(folder, round_number):
    with np.load(folder / f"round-{round_number:05d}.npz", allow_pickle=False) as file:
        return dict(file)


finite_floats = st.floats(-(2.0**100), 2.0**100, width=32)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=finite_floats))
def test_an_update_comes_back_within_float16_of_its_largest_number(tmp_path_factory, vectors):
    folder = tmp_path_factory.mktemp("updates")
    stored, _ = store(folder)
    add(stored, 1, vectors, [True] * len(vectors))
    file = read(folder, 1)
    assert file["updates"].dtype == np.float16
    restored = file["updates"].astype(np.float64) * file["scales"][:, np.newaxis]
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    np.testing.assert_array_equal(file["scales"], largest[:, 0])
    # Half a unit in the last of 11 bits, or of the smallest float16; and a little for float32.
    bound = np.maximum(np.abs(vectors.astype(np.float64)) * 2**-11, largest.astype(np.float64) * 2**-25) * 1.001
    assert (np.abs(restored - vectors) <= bound + 1e-44).all()


def test_silos_whose_update_is_not_finite_are_left_out(tmp_path):
    stored, _ = store(tmp_path)
    add(stored, 1, finite=(True, False, True))
    file = read(tmp_path, 1)
    assert file["silos"].tolist() == ["s0", "s2"]
    assert file["weights"].tolist() == [1, 3]
    assert file["scales"].tolist() == [4, 14]
    assert file["global"].tolist() == [0, 0, 0, 0, 1]
    assert (file["global"].dtype, file["weights"].dtype, file["scales"].dtype) == (np.float32,) * 3


@pytest.mark.parametrize("rounds_with_room", [0, 1, 3])
def test_rounds_that_do_not_fit_are_left_out_and_told_once(tmp_path, rounds_with_room):
    whole, _ = store(tmp_path / "whole")
    add(whole, 1)
    size = (tmp_path / "whole" / "round-00001.npz").stat().st_size
    # A little more than the file is asked for, because its headers are not known before it is written.
    stored, events = store(tmp_path / "bounded", rounds_with_room * size + 4096)
    for round_number in range(1, 6):
        add(stored, round_number)
    assert stored.rounds == list(range(1, rounds_with_room + 1))
    assert events == [("updates left out", rounds_with_room + 1)]
    used = sum(path.stat().st_size for path in (tmp_path / "bounded").iterdir())
    assert used <= rounds_with_room * size + 4096


def test_after_a_round_that_is_left_out_none_is_stored_though_it_would_fit(tmp_path):
    stored, _ = store(tmp_path, 10_000)
    add(stored, 1, np.ones((3, 5000), np.float32))
    add(stored, 2)
    assert stored.rounds == []


def test_rounds_that_are_run_again_are_replaced(tmp_path):
    stored, _ = store(tmp_path)
    for round_number in (1, 2, 3):
        add(stored, round_number)
    resumed, _ = store(tmp_path)
    resumed.keep_rounds(1)
    assert resumed.rounds == [1]
    add(resumed, 2, np.full((3, 5), 7, np.float32))
    assert resumed.rounds == [1, 2]
    np.testing.assert_array_equal(read(tmp_path, 2)["scales"], [7, 7, 7])
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}


def test_a_store_that_was_full_is_full_when_the_training_goes_on(tmp_path):
    stored, _ = store(tmp_path, 10_000)
    add(stored, 1)
    add(stored, 2, np.ones((3, 5000), np.float32))
    resumed, _ = store(tmp_path, 10_000)
    resumed.keep_rounds(2)
    add(resumed, 3)
    assert resumed.rounds == [1]
