import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tfx_federated.statistics import dispersion

HIGHER, LOWER = dispersion.Scale(), dispersion.LOSS
VALUES = st.lists(st.integers(0, 20).map(lambda value: value / 20), min_size=1, max_size=40)


@given(VALUES, st.floats(0.01, 100))
def test_gini_is_that_over_all_pairs_and_of_any_unit(errors, unit):
    errors = np.array(errors)
    assume(errors.any())
    pairs = np.abs(errors[:, None] - errors).sum()
    expected = pairs / (2 * len(errors) ** 2 * errors.mean())
    assert dispersion.gini(errors) == pytest.approx(expected, abs=1e-12)
    assert dispersion.gini(unit * errors) == pytest.approx(expected, abs=1e-12)
    assert -1e-12 <= expected <= 1 - 1 / len(errors) + 1e-12


@given(VALUES)
def test_jain_is_the_square_of_the_sum_over_that_of_the_squares(errors):
    errors = np.array(errors)
    assume(errors.any())
    index = dispersion.jain(errors)
    # 1 / (1 + CV^2): the paper's second form.
    assert index == pytest.approx(1 / (1 + errors.var() / errors.mean() ** 2))
    assert 1 / len(errors) - 1e-12 <= index <= 1 + 1e-12


def test_one_silo_with_all_errors_is_the_most_unequal():
    errors = np.array([0, 0, 0, 0.5])
    assert dispersion.gini(errors) == pytest.approx(0.75)
    assert dispersion.jain(errors) == pytest.approx(0.25)


def test_no_error_at_all_is_equality():
    assert dispersion.gini(np.zeros(3)) == 0
    assert dispersion.jain(np.zeros(3)) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=2, max_size=40))
def test_the_correlation_with_size_is_that_of_scipy(silos):
    values, rows = np.array(silos, float).T
    ours = dispersion.spearman(values, rows)
    if np.ptp(values) and np.ptp(rows):
        assert ours == pytest.approx(stats.spearmanr(values, rows).statistic, abs=1e-12)
        assert dispersion.spearman(values, np.log(rows)) == pytest.approx(float(ours), abs=1e-12)
    else:
        assert np.isnan(ours)


@given(VALUES, st.integers(0, 100).map(lambda percent: percent / 100))
def test_shares_are_means_of_the_sorted_silos(values, share):
    values = np.array(values)
    counted = max(share * len(values), 1)
    weights = np.clip(counted - np.arange(len(values)), 0, 1)
    lowest, highest = (np.average(part, weights=weights) for part in (np.sort(values), np.sort(values)[::-1]))
    assert dispersion.worst_share(values, share, HIGHER) == pytest.approx(lowest)
    assert dispersion.best_share(values, share, HIGHER) == pytest.approx(highest)
    assert dispersion.worst_share(values, share, LOWER) == pytest.approx(highest)
    assert dispersion.best_share(values, share, LOWER) == pytest.approx(lowest)


def test_the_worst_tenth_of_25_silos_are_two_and_half_of_the_third():
    values = np.concatenate([[0.3, 0.1, 0.2], np.full(22, 0.9)])
    assert dispersion.worst_share(values, dispersion.DECILE, HIGHER) == pytest.approx((0.1 + 0.2 + 0.3 / 2) / 2.5)


def test_a_share_above_1_is_refused():
    with pytest.raises(ValueError, match="share is 10; it must be from 0 to 1"):
        dispersion.worst_share(np.array([0.5]), 10, HIGHER)


def test_the_summary_of_three_silos():
    summary = dispersion.summary([0.9, 0.6, 0.8], [10, 20, 70], HIGHER)
    assert {name: float(value) for name, value in summary.items()} == pytest.approx(
        {
            "mean": 2.3 / 3,
            "row_weighted_mean": 0.77,
            "size_bias": 2.3 / 3 - 0.77,
            "worst_silo": 0.6,
            "best_silo": 0.9,
            "worst_decile": 0.6,
            "best_decile": 0.9,
            # Squares 0.0178, 0.0278, 0.0011 over 3.
            "variance": 0.14 / 9,
            # Errors 0.1, 0.2, 0.4: differences 0.1 + 0.2 + 0.3, twice, over 2 * 9 * 0.7 / 3.
            "gini_of_error": 1.2 / 4.2,
            "jain_of_error": 0.49 / 0.63,
            # Ranks 3, 1, 2 against 1, 2, 3.
            "size_correlation": -0.5,
            "share_worse_than_overall": 1 / 3,
            "largest_gap": 0.3,
        }
    )


def test_of_a_loss_the_greatest_is_the_worst_and_the_error():
    summary = dispersion.summary([0.9, 0.6, 0.8], [10, 20, 70], LOWER, overall=0.85)
    assert summary["worst_silo"] == pytest.approx(0.9)
    assert summary["best_silo"] == pytest.approx(0.6)
    assert summary["share_worse_than_overall"] == pytest.approx(1 / 3)
    assert summary["jain_of_error"] == pytest.approx(2.3**2 / (3 * 1.81))


def test_a_metric_without_a_best_value_has_no_error():
    summary = dispersion.summary([1.0, 2.0], [1, 1], dispersion.Scale(-np.inf, np.inf))
    assert np.isnan([summary["gini_of_error"], summary["jain_of_error"]]).all()


@given(VALUES, st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_replicate_has_its_own_statistics_whatever_the_order_of_the_silos(values, replicates, random):
    rows = [random.randint(1, 9) for _ in values]
    shuffled = [random.sample(list(zip(values, rows, strict=True)), len(values)) for _ in range(replicates)]
    many = dispersion.summary(*np.moveaxis(np.array(shuffled, float), -1, 0), HIGHER)
    one = dispersion.summary(values, rows, HIGHER)
    for name, value in one.items():
        if name != "share_worse_than_overall":
            assert many[name] == pytest.approx(np.full(replicates, value), nan_ok=True, abs=1e-12)
    overall = dispersion.summary(*np.moveaxis(np.array(shuffled, float), -1, 0), HIGHER, overall=0.5)
    assert overall["share_worse_than_overall"] == pytest.approx(np.full(replicates, np.mean(np.array(values) < 0.5)))


@pytest.mark.parametrize(
    ("values", "rows", "message"),
    [
        ([], [], "at least one silo"),
        ([0.5], [1, 2], "must be of one shape"),
        ([0.5, np.nan], [1, 2], "values hold NaN or infinity"),
    ],
)
def test_bad_values_are_refused(values, rows, message):
    with pytest.raises(ValueError, match=message):
        dispersion.summary(values, rows, HIGHER)
