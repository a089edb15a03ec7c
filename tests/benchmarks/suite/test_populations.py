import dataclasses

import numpy as np
import pytest
from benchmarks.suite.data import manifests, populations
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data import tables

ROWS = 600


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(0)
    # The first feature is the row's number, so that each row can be followed.
    features = np.column_stack([np.arange(ROWS), generator.normal(size=ROWS)]).astype(np.float32)
    labels = (generator.random(ROWS) < 0.3).astype(np.float32)
    silos = np.array(["a", "b", "c"])[generator.integers(0, 3, ROWS)]
    return tables.Table(features, labels, silos, np.arange(ROWS) % 3 == 0)


def _make(table, seed=0, **family):
    return populations.of_table(table, manifests.Manifest("taxi", family=manifests.Family(**family), seed=seed))


def _rows(silos):
    return np.concatenate([silo.features[:, 0] for silo in silos]).astype(int)


families = st.fixed_dictionaries(
    {
        "silos": st.integers(2, 60),
        "rows": st.integers(60, 380),
        "least_rows": st.integers(1, 4),
        "size_skew": st.floats(0, 2),
        "label_skew": st.none() | st.floats(0.05, 10),
        "feature_skew": st.none() | st.floats(0.05, 10),
        "shifted_share": st.floats(0, 0.9),
    }
)


@settings(max_examples=40, deadline=None)
@given(family=families, seed=st.integers(0, 1000))
def test_a_manifest_reproduces_the_exact_rows(table, family, seed):
    first, again = _make(table, seed, **family), _make(table, seed, **family)
    assert first.manifest.checksum == again.manifest.checksum == populations.checksum(again.training, again.test)
    for one, other in zip([*first.training, *first.test], [*again.training, *again.test], strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.features, other.features)
        np.testing.assert_array_equal(one.labels, other.labels)


@settings(max_examples=40, deadline=None)
@given(family=families, seed=st.integers(0, 1000))
def test_training_and_test_rows_stay_apart_and_sizes_are_as_asked(table, family, seed):
    made = _make(table, seed, **family)
    assert len(made.training) == len(made.test) == family["silos"]
    assert not table.is_held_out[_rows(made.training)].any()
    assert table.is_held_out[_rows(made.test)].all()
    assert sum(made.sizes.values()) == family["rows"]
    assert min(made.sizes.values()) >= min(family["least_rows"], family["rows"] // family["silos"])


@settings(max_examples=30, deadline=None)
@given(
    silos=st.integers(1, 500),
    extra=st.integers(0, 10**5),
    exponent=st.floats(0, 3),
    least=st.integers(1, 20),
)
def test_zipf_sizes_sum_to_the_rows_and_fall(silos, extra, exponent, least):
    rows = silos + extra
    sizes = populations.zipf_sizes(silos, rows, exponent, least)
    assert sizes.sum() == rows
    assert (np.diff(sizes) <= 0).all()
    assert sizes[-1] >= min(least, rows // silos)


def test_zipf_sizes_follow_the_law():
    np.testing.assert_array_equal(populations.zipf_sizes(4, 2500, 1.0, 1), [1199, 600, 400, 301])


def test_no_row_is_drawn_twice_before_all_of_its_kind_are(table):
    made = _make(table, silos=20, rows=150)
    assert len(set(_rows(made.training))) == 150


def test_a_small_concentration_makes_labels_differ_more(table):
    def spread(concentration):
        made = _make(table, silos=20, rows=380, label_skew=concentration)
        return np.std([silo.labels.mean() for silo in made.training])

    assert spread(0.1) > 2 * spread(100.0)


def test_a_small_concentration_gives_each_silo_rows_of_few_natural_silos(table):
    def largest_share(concentration):
        made = _make(table, silos=20, rows=380, feature_skew=concentration)
        names = [table.silos[silo.features[:, 0].astype(int)] for silo in made.training]
        return np.mean([np.unique(name, return_counts=True)[1].max() / len(name) for name in names])

    assert largest_share(0.1) > 0.8 > 0.6 > largest_share(1000.0)


def test_concept_shift_swaps_the_labels_of_a_share_of_the_silos_in_both_parts(table):
    made = _make(table, silos=20, rows=380, shifted_share=0.25)
    swapped = {
        silo.name: set(np.unique(silo.labels == table.labels[silo.features[:, 0].astype(int)]))
        for silo in made.training
    }
    assert sorted(map(tuple, swapped.values())) == [(False,)] * 5 + [(True,)] * 15
    for silo in made.test:
        assert set(np.unique(silo.labels == table.labels[silo.features[:, 0].astype(int)])) == swapped[silo.name]


def test_natural_silos_keep_a_share_and_the_least_rows(table):
    made = _make(table, rows=100, least_rows=50)
    counts = {name: int(((table.silos == name) & ~table.is_held_out).sum()) for name in "abc"}
    assert made.sizes == {name: max(50, round(count * 100 / 400)) for name, count in counts.items()}


def test_garbage_silos_keep_the_rate_of_their_labels_and_their_test_rows(table):
    honest = _make(table, silos=10, rows=380)
    garbage = _make(table, silos=10, rows=380, planted="garbage_labels", planted_share=0.3)
    assert len(garbage.planted) == 3
    for one, other, test, same in zip(honest.training, garbage.training, honest.test, garbage.test, strict=True):
        assert one.labels.sum() == other.labels.sum()
        assert np.array_equal(one.labels, other.labels) == (one.name not in garbage.planted)
        np.testing.assert_array_equal(test.labels, same.labels)


def test_a_checksum_of_other_rows_is_refused():
    made = populations.make(manifests.Manifest("taxi", family=manifests.Family(rows=100)))
    assert populations.make(made.manifest).manifest == made.manifest
    with pytest.raises(populations.OtherRowsError, match="NumPy or the source is of another release"):
        populations.make(dataclasses.replace(made.manifest, seed=1))


def test_validation_rows_are_a_fifth_and_the_rest_is_trained_on(table):
    silos = _make(table, silos=5, rows=103, size_skew=1.5).training
    training, validation = populations.with_validation(silos, 0)
    for silo, trained, chosen in zip(silos, training, validation, strict=True):
        rows = len(silo.labels)
        assert len(chosen.labels) == (rows // 5 if rows >= 5 else rows)
        if rows >= 5:
            assert sorted(_rows([trained, chosen])) == sorted(_rows([silo]))


def test_the_validation_rows_of_a_silo_do_not_depend_on_the_other_silos(table):
    silos = _make(table, silos=5, rows=103, size_skew=1.5).training
    _, among_all = populations.with_validation(silos, 0)
    _, alone = populations.with_validation(silos[3:4], 0)
    np.testing.assert_array_equal(among_all[3].features, alone[0].features)
