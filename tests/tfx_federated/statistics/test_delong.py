import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tfx_federated.statistics import delong

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(1, 3)), min_size=1, max_size=30)


def both_classes(rows):
    return len({label for _, label, _ in rows}) == 2


def by_pairs(scores, labels):
    """AUC and DeLong's variance of it from all pairs, as the paper defines them."""
    ours, others = scores[labels == 1], scores[labels == 0]
    pairs = (ours[:, None] > others) + 0.5 * (ours[:, None] == others)
    of_positives, of_negatives = pairs.mean(1), pairs.mean(0)
    variance = of_positives.var(ddof=1) / len(ours) + of_negatives.var(ddof=1) / len(others)
    return pairs.mean(), variance


def of_one_silo(scores, positives, negatives, **squares):
    return delong.areas(np.zeros(len(scores), int), scores, positives, negatives, 1, **squares)


@given(ROWS.filter(both_classes))
def test_weighted_areas_are_those_of_scikit_learn_and_of_duplicated_rows(rows):
    scores, labels, weights = np.array(rows).T
    positives, negatives = weights * labels, weights * (1 - labels)
    weighted = of_one_silo(scores, positives, negatives, positive_squares=positives**2, negative_squares=negatives**2)
    assert weighted.value == pytest.approx([metrics.roc_auc_score(labels, scores, sample_weight=weights)])
    duplicated = np.repeat(labels, weights)
    plain = of_one_silo(np.repeat(scores, weights), duplicated, 1 - duplicated)
    assert weighted.value == pytest.approx(plain.value)


@given(st.lists(ROWS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_values_and_variances_of_many_silos_are_those_from_all_pairs(silos, random):
    rows = [(silo, score, label) for silo, of_silo in enumerate(silos) for score, label, _ in of_silo]
    random.shuffle(rows)
    silo, scores, labels = np.array(rows).T
    areas = delong.areas(silo, scores, labels, 1 - labels, len(silos))
    for number in range(len(silos)):
        mine = silo == number
        positives = labels[mine].sum()
        negatives = mine.sum() - positives
        assert (areas.positives[number], areas.negatives[number]) == (positives, negatives)
        if min(positives, negatives) >= 2:
            value, variance = by_pairs(scores[mine], labels[mine])
            assert areas.value[number] == pytest.approx(value)
            assert areas.variance[number] == pytest.approx(variance, abs=1e-12)
        else:
            assert np.isnan(areas.variance[number])
            assert np.isnan(areas.value[number]) == (min(positives, negatives) == 0)


@given(ROWS)
def test_a_histogram_gives_what_its_rows_give(rows):
    scores, labels, weights = np.array(rows).T
    positive, negative = weights * labels, weights * (1 - labels)
    by_row = of_one_silo(scores, positive, negative, positive_squares=positive**2, negative_squares=negative**2)
    columns = [np.bincount(scores, column, 6) for column in (positive, negative, positive**2, negative**2)]
    by_bucket = of_one_silo(
        np.arange(6), columns[0], columns[1], positive_squares=columns[2], negative_squares=columns[3]
    )
    for part in ("value", "variance", "positives", "negatives"):
        assert getattr(by_bucket, part) == pytest.approx(getattr(by_row, part), nan_ok=True, abs=1e-12)


@given(ROWS, st.sampled_from([0.1, 0.3, 1.0, 1e5]))
def test_equal_weights_change_nothing(rows, weight):
    scores, labels, _ = np.array(rows).T
    plain = of_one_silo(scores, labels, 1 - labels)
    squares = {"positive_squares": weight**2 * labels, "negative_squares": weight**2 * (1 - labels)}
    weighted = of_one_silo(scores, weight * labels, weight * (1 - labels), **squares)
    for part in ("value", "variance", "positives", "negatives"):
        assert getattr(weighted, part) == pytest.approx(getattr(plain, part), nan_ok=True, abs=1e-9)


def test_the_variance_of_a_weighted_area_is_that_of_repeated_samples():
    generator = np.random.default_rng(4)
    silos, rows = 4000, 60
    weights = np.tile(generator.exponential(size=rows), silos)
    labels = np.tile(np.arange(rows) % 2, silos)
    scores = generator.normal(labels, 1)
    positive, negative = weights * labels, weights * (1 - labels)
    silo = np.repeat(np.arange(silos), rows)
    areas = delong.areas(silo, scores, positive, negative, silos, positive**2, negative**2)
    assert areas.variance.mean() == pytest.approx(areas.value.var(), rel=0.1)
    # As if all rows were alike, it would be far too small.
    assert delong.areas(silo, scores, labels, 1 - labels, silos).variance.mean() < 0.7 * areas.value.var()


def test_the_variance_of_a_weighted_area_is_that_of_two_weighted_means():
    generator = np.random.default_rng(16)
    labels, weights = np.arange(40) % 2, generator.exponential(size=40)
    scores = generator.normal(labels + weights, 1)
    ours, others = labels == 1, labels == 0
    pairs = scores[ours][:, None] > scores[others]
    expected = 0.0
    for placed, mine in (
        (np.average(pairs, axis=1, weights=weights[others]), weights[ours]),
        (np.average(pairs, axis=0, weights=weights[ours]), weights[others]),
    ):
        rows = mine.sum() ** 2 / (mine**2).sum()
        squares = (mine**2 * (placed - np.average(placed, weights=mine)) ** 2).sum()
        expected += squares / mine.sum() ** 2 * rows / (rows - 1)
    positive, negative = weights * labels, weights * (1 - labels)
    areas = of_one_silo(scores, positive, negative, positive_squares=positive**2, negative_squares=negative**2)
    assert areas.variance == pytest.approx([expected])
    assert areas.positives == pytest.approx([weights[ours].sum() ** 2 / (weights[ours] ** 2).sum()])


def test_rows_that_are_worth_less_than_two_have_no_variance():
    positive, negative = np.array([3.0, 0, 1, 0]), np.array([0.0, 1, 0, 1])
    areas = of_one_silo([4, 3, 2, 1], positive, negative, positive_squares=positive**2, negative_squares=negative**2)
    assert areas.positives == pytest.approx([1.6])
    assert areas.value == pytest.approx([0.875])
    assert np.isnan(areas.variance).all()


def test_a_fractional_label_counts_in_both_classes():
    # Pairs with their weights: (0.9, 0.9) 0.6 * 0.4 a tie, (0.9, 0.1) 0.6 * 1 right; together 0.72 of 0.6 * 1.4.
    areas = of_one_silo([0.9, 0.1], [0.6, 0.0], [0.4, 1.0])
    assert areas.value == pytest.approx([0.72 / 0.84])


def test_perfect_separation_has_no_variance_though_weights_round():
    # Many silos before it, so that sums over all of them round.
    generator = np.random.default_rng(5)
    silos, rows = 200, 30
    labels = np.tile(np.arange(rows) % 2, silos)
    weights = generator.exponential(size=len(labels))
    positive, negative = weights * labels, weights * (1 - labels)
    silo = np.repeat(np.arange(silos), rows)
    areas = delong.areas(silo, labels, positive, negative, silos, positive**2, negative**2)
    assert areas.value == pytest.approx(np.ones(silos))
    assert areas.value.max() <= 1
    assert areas.variance.tolist() == [0] * silos


def test_silos_without_rows_are_undefined():
    areas = delong.areas([], [], [], [], 2)
    assert np.isnan(areas.value).all()
    assert areas.positives.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"silo": [0, 2]}, "silo holds indices from 0 to 2, but there are 2 silos"),
        ({"silo": [-1, 0]}, "silo holds indices from -1 to 0"),
        ({"score": [0.1, np.nan]}, "score holds 1 values that are NaN or infinite"),
        ({"score": [0.1]}, "must be of one length"),
        ({"positives": [1, -1]}, "positives holds 1 negative values"),
        ({"negative_squares": [1]}, "must be of one length"),
        ({"positive_squares": [0, 0]}, "squares holds 0"),
    ],
)
def test_bad_cells_are_refused(change, message):
    cells = {"silo": [0, 1], "score": [0.1, 0.2], "positives": [1, 0], "negatives": [0, 1], "silos": 2}
    with pytest.raises(ValueError, match=message):
        delong.areas(**(cells | change))
