import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from tfx_federated.statistics import paired
from tfx_federated.statistics.evidence import Evidence

Z = 1.959963984540054
# Extra hours of sleep with the second drug over the first: the example in Student (1908), Section IX.
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 1), st.integers(1, 3)), min_size=1, max_size=30
)
PARTS = ("gain", "centre", "standard_error", "p_hurt", "p_helped")


def of_areas(candidate, baseline, positives, negatives, **squares):
    return paired.of_areas(np.zeros(len(candidate), int), candidate, baseline, positives, negatives, 1, **squares)


def weighted_areas(candidate, baseline, positives, negatives):
    return of_areas(
        candidate, baseline, positives, negatives, positive_squares=positives**2, negative_squares=negatives**2
    )


def assert_equal_gains(ours, expected, tolerance=1e-9):
    for part in PARTS:
        assert getattr(ours, part) == pytest.approx(getattr(expected, part), nan_ok=True, abs=tolerance)
    assert ours.evidence.tolist() == expected.evidence.tolist()


@given(better=st.integers(0, 60), worse=st.integers(0, 60), others=st.integers(0, 60))
def test_p_values_of_accuracies_are_mcnemars(better, worse, others):
    gains = paired.of_accuracies([better + worse + others], [better], [worse])
    if better + worse:
        for p_value, alternative in ((gains.p_hurt, "less"), (gains.p_helped, "greater")):
            expected = stats.binomtest(better, better + worse, alternative=alternative).pvalue
            assert p_value == pytest.approx([expected])
    elif others:
        assert (gains.p_hurt, gains.p_helped) == (1, 1)


def test_intervals_of_accuracies_are_bonett_and_prices():
    # 1 + 1 and 7 + 1 of 21 + 2 rows.
    first, second = 2 / 23, 8 / 23
    reach = Z * np.sqrt((first + second - (first - second) ** 2) / 23)
    interval = paired.of_accuracies([21], [1], [7]).intervals()
    assert interval.estimate == pytest.approx([-6 / 21])
    assert interval.lower == pytest.approx([first - second - reach])
    assert interval.upper == pytest.approx([first - second + reach])


@given(better=st.integers(0, 60), worse=st.integers(0, 60), others=st.integers(1, 60), weight=st.floats(0.01, 100))
def test_equal_weights_change_no_gain_in_accuracy(better, worse, others, weight):
    counts = np.array([[better + worse + others], [better], [worse]])
    weighted = paired.of_accuracies(*(weight * counts), weight_squares=weight**2 * counts[0])
    assert_equal_gains(weighted, paired.of_accuracies(*counts))


def test_weighted_gains_in_accuracy_are_those_of_the_rows_that_the_weights_are_worth():
    # 20 rows of weight 1 and 10 of weight 4 are worth 20 rows: a third of 60.
    weighted = paired.of_accuracies([60], [9], [21], weight_squares=[180])
    assert_equal_gains(weighted, paired.of_accuracies([20], [3], [7]))


def test_weighted_accuracies_without_a_gain_show_one_as_seldom_as_they_say():
    generator = np.random.default_rng(6)
    weights = generator.exponential(size=(3000, 100))
    outcome = generator.choice([-1, 0, 1], p=[0.2, 0.6, 0.2], size=weights.shape)
    gains = paired.of_accuracies(
        weights.sum(1), (weights * (outcome > 0)).sum(1), (weights * (outcome < 0)).sum(1), (weights**2).sum(1)
    )
    interval = gains.intervals()
    assert np.mean((interval.lower <= 0) & (interval.upper >= 0)) == pytest.approx(0.95, abs=0.02)
    # McNemar's exact test keeps its level, and does not use it up.
    assert 0.02 < np.mean(gains.p_hurt < 0.05) <= 0.05
    assert 0.02 < np.mean(gains.p_helped < 0.05) <= 0.05


def test_gains_in_a_loss_are_students():
    gains = paired.of_losses([10], [SLEEP.sum()], [(SLEEP**2).sum()])
    expected = stats.ttest_1samp(SLEEP, 0)
    assert gains.gain == pytest.approx([1.58])
    assert gains.p_helped == pytest.approx([expected.pvalue / 2])
    assert gains.p_hurt == pytest.approx([1 - expected.pvalue / 2])
    interval = gains.intervals()
    assert interval.lower == pytest.approx([expected.confidence_interval().low])
    assert interval.upper == pytest.approx([expected.confidence_interval().high])
    # Student: 0.9985 that the second drug is the better one.
    assert 1 - gains.p_helped[0] == pytest.approx(0.9985, abs=2e-4)


def test_bounds_are_tested_as_by_student():
    gains = paired.of_losses([10], [SLEEP.sum()], [(SLEEP**2).sum()])
    assert gains.p_below(1.0) == pytest.approx([stats.ttest_1samp(SLEEP, 1.0, alternative="less").pvalue])
    assert gains.p_above(1.0) == pytest.approx([stats.ttest_1samp(SLEEP, 1.0, alternative="greater").pvalue])


def test_equal_weights_change_no_gain_in_a_loss():
    plain = paired.of_losses([10], [SLEEP.sum()], [(SLEEP**2).sum()])
    weighted = paired.of_losses([3], [0.3 * SLEEP.sum()], [0.3 * (SLEEP**2).sum()], weight_squares=[0.9])
    assert_equal_gains(weighted, plain)


def test_equal_losses_are_no_gain_and_equal_differences_no_proof():
    difference = np.full(10, 0.1)
    gains = paired.of_losses([10, 10], [0, difference.sum()], [0, (difference**2).sum()])
    assert gains.evidence.tolist() == [Evidence.ENOUGH, Evidence.UNDEFINED]
    assert (gains.gain[0], gains.p_hurt[0], gains.p_helped[0]) == (0, 1, 1)
    assert np.isnan(gains.p_helped[1])


@given(ROWS)
def test_gains_in_auc_are_delongs_from_all_pairs(rows):
    candidate, baseline, labels, _ = np.array(rows).T
    gains = of_areas(candidate, baseline, labels, 1 - labels)
    if min(labels.sum(), (1 - labels).sum()) < 2:
        assert gains.evidence.tolist() == [Evidence.UNDEFINED]
        return
    placements = []
    for scores in (candidate, baseline):
        ours, others = scores[labels == 1], scores[labels == 0]
        pairs = (ours[:, None] > others) + 0.5 * (ours[:, None] == others)
        placements.append((pairs.mean(1), pairs.mean(0)))
    covariances = [np.cov(part) / len(part[0]) for part in zip(*placements, strict=True)]
    variance = np.array([1, -1]) @ sum(covariances) @ np.array([1, -1])
    if variance > 1e-9:
        assert gains.gain == pytest.approx(
            [metrics.roc_auc_score(labels, candidate) - metrics.roc_auc_score(labels, baseline)]
        )
        assert gains.standard_error == pytest.approx([np.sqrt(variance)])
        assert gains.p_helped == pytest.approx([stats.norm.sf(gains.gain[0] / np.sqrt(variance))])


@given(ROWS)
def test_joint_histograms_give_what_their_rows_give(rows):
    candidate, baseline, labels, weights = np.array(rows).T
    positive, negative = weights * labels, weights * (1 - labels)
    by_row = weighted_areas(candidate, baseline, positive, negative)
    cell = 5 * candidate + baseline
    sums = [np.bincount(cell, part, 25) for part in (positive, negative, positive**2, negative**2)]
    cells = np.flatnonzero(sums[0] + sums[1])
    by_cell = of_areas(
        cells // 5,
        cells % 5,
        sums[0][cells],
        sums[1][cells],
        positive_squares=sums[2][cells],
        negative_squares=sums[3][cells],
    )
    assert_equal_gains(by_cell, by_row)


@given(ROWS, st.sampled_from([0.1, 0.3, 7.0]), st.randoms(use_true_random=False))
def test_equal_weights_and_another_order_change_no_gain_in_auc(rows, weight, random):
    candidate, baseline, labels, _ = np.array(rows).T
    plain = of_areas(candidate, baseline, labels, 1 - labels)
    shuffled = list(rows)
    random.shuffle(shuffled)
    candidate, baseline, labels, _ = np.array(shuffled).T
    assert_equal_gains(weighted_areas(candidate, baseline, weight * labels, weight * (1 - labels)), plain, 1e-7)


@given(ROWS)
def test_the_roles_of_the_models_can_be_swapped(rows):
    candidate, baseline, labels, _ = np.array(rows).T
    gains, losses = (of_areas(*pair, labels, 1 - labels) for pair in ((candidate, baseline), (baseline, candidate)))
    assert gains.gain == pytest.approx(-losses.gain, nan_ok=True, abs=1e-12)
    assert gains.p_hurt == pytest.approx(losses.p_helped, nan_ok=True)


def test_the_gain_in_auc_of_integer_weights_is_that_of_duplicated_rows():
    generator = np.random.default_rng(7)
    labels, weights = generator.integers(0, 2, 40), generator.integers(1, 4, 40)
    candidate, baseline = generator.normal(labels), generator.normal(labels)
    weighted = weighted_areas(candidate, baseline, weights * labels, weights * (1 - labels))
    repeated = [np.repeat(part, weights) for part in (candidate, baseline, labels)]
    assert weighted.gain == pytest.approx(of_areas(*repeated, 1 - repeated[2]).gain)
    # Duplicated rows look like more evidence than there is.
    assert weighted.standard_error > of_areas(*repeated, 1 - repeated[2]).standard_error


def test_weighted_aucs_without_a_gain_show_one_as_seldom_as_they_say():
    generator = np.random.default_rng(8)
    silos, rows = 2000, 100
    labels = np.tile(np.arange(rows) % 2, silos)
    common = generator.normal(labels)
    candidate, baseline = (common + generator.normal(size=len(labels)) for _ in range(2))
    weights = generator.exponential(size=len(labels))
    positive, negative = weights * labels, weights * (1 - labels)
    silo = np.repeat(np.arange(silos), rows)
    gains = paired.of_areas(silo, candidate, baseline, positive, negative, silos, positive**2, negative**2)
    assert np.mean(gains.p_hurt < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(gains.p_helped < 0.05) == pytest.approx(0.05, abs=0.02)


def test_models_that_rank_alike_have_no_gain_and_two_perfect_ones_no_proof():
    labels = np.array([0, 0, 0, 1, 1, 1] * 2)
    silo = np.repeat([0, 1], 6)
    baseline = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9] * 2)
    candidate = np.concatenate([baseline[:6] / 2, baseline[5::-1][[3, 4, 5, 0, 1, 2]]])
    gains = paired.of_areas(silo, candidate, baseline, labels, 1 - labels, 2)
    assert gains.evidence.tolist() == [Evidence.ENOUGH, Evidence.UNDEFINED]
    assert (gains.gain[0], gains.p_hurt[0], gains.p_helped[0]) == (0, 1, 1)


def test_silos_without_enough_evidence_lose_their_claim():
    gains = paired.of_accuracies([20, 20], [3, 3], [7, 7])
    claimed = gains.claimed(np.array([Evidence.ENOUGH, Evidence.TOO_FEW_ROWS], np.int8))
    assert claimed.evidence.tolist() == [Evidence.ENOUGH, Evidence.TOO_FEW_ROWS]
    for part in PARTS:
        assert getattr(claimed, part)[0] == getattr(gains, part)[0]
        assert np.isnan(getattr(claimed, part)[1])


def test_a_silo_without_rows_is_undefined():
    assert paired.of_accuracies([0], [0], [0]).evidence.tolist() == [Evidence.UNDEFINED]
    assert paired.of_losses([1], [1], [1]).evidence.tolist() == [Evidence.UNDEFINED]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (([5], [3], [3]), "1 silos differ on more rows than they have"),
        (([5], [3], [-1]), "only_baseline_right holds 1 negative values"),
        (([5, 5], [3], [1]), "must be of one length"),
    ],
)
def test_impossible_counts_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        paired.of_accuracies(*counts)


def test_bad_cells_are_refused():
    with pytest.raises(ValueError, match="must be of one length"):
        paired.of_areas([0, 0], [1, 2], [1], [1, 0], [0, 1], 1)
    with pytest.raises(ValueError, match="score holds 1 values that are NaN"):
        paired.of_areas([0, 0], [1, 2], [1, np.nan], [1, 0], [0, 1], 1)
    with pytest.raises(ValueError, match="confidence is 95"):
        paired.of_accuracies([20], [3], [7]).intervals(95)
