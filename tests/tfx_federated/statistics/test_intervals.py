import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from tfx_federated.statistics import delong, intervals
from tfx_federated.statistics.evidence import Evidence

COUNTS = st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(COUNTS, st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_of_rates_are_those_of_scipy(counts, confidence):
    successes, trials = counts
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    ours = intervals.of_rates([successes], [trials], confidence)
    assert ours.lower == pytest.approx([expected.low], abs=1e-12)
    assert ours.upper == pytest.approx([expected.high], abs=1e-12)
    assert ours.estimate == pytest.approx([successes / trials])


def test_intervals_of_rates_are_those_newcombe_printed():
    ours = intervals.of_rates([81, 15, 0, 1], [263, 148, 20, 29])
    assert ours.lower == pytest.approx([0.2553, 0.0624, 0, 0.0061], abs=5e-5)
    assert ours.upper == pytest.approx([0.3662, 0.1605, 0.1611, 0.1718], abs=5e-5)


def test_a_rate_without_trials_is_undefined():
    ours = intervals.of_rates([0, 1], [0, 1])
    assert ours.evidence.tolist() == [Evidence.UNDEFINED, Evidence.ENOUGH]
    assert np.isnan([ours.estimate[0], ours.lower[0], ours.upper[0]]).all()


@given(COUNTS, st.floats(0.01, 100))
def test_equal_weights_leave_the_interval_of_a_rate_as_it_is(counts, weight):
    successes, trials = counts
    plain = intervals.of_rates([successes], [trials])
    weighted = intervals.of_rates([weight * successes], [weight * trials], trial_squares=[weight**2 * trials])
    for part in ("estimate", "lower", "upper"):
        assert getattr(weighted, part) == pytest.approx(getattr(plain, part), abs=1e-12)


def test_unequal_weights_widen_the_interval_of_a_rate():
    # 20 rows of weight 1 and 10 of weight 4 are worth 60^2 / 180 = 20 rows.
    weighted = intervals.of_rates([30], [60], trial_squares=[180])
    plain = intervals.of_rates([10], [20])
    assert (weighted.lower, weighted.upper) == (pytest.approx(plain.lower), pytest.approx(plain.upper))


def test_sums_of_weights_in_another_order_are_no_error():
    assert intervals.of_rates([0.1 + 0.2 + 0.3], [0.3 + 0.2 + 0.1], trial_squares=[0.14]).estimate.tolist() == [1]


def test_intervals_of_weighted_rates_hold_the_rate_as_often_as_they_say():
    generator = np.random.default_rng(1)
    weights = generator.exponential(size=(3000, 80))
    right = generator.random(weights.shape) < 0.8
    ours = intervals.of_rates((weights * right).sum(1), weights.sum(1), 0.95, (weights**2).sum(1))
    assert np.mean((ours.lower <= 0.8) & (ours.upper >= 0.8)) == pytest.approx(0.95, abs=0.02)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30).filter(lambda values: len(set(values)) > 1))
def test_intervals_of_means_are_students(values):
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    ours = intervals.of_means([len(values)], [sum(values)], [sum(value**2 for value in values)], 0.9)
    assert ours.lower == pytest.approx([expected.low], rel=1e-6, abs=1e-6)
    assert ours.upper == pytest.approx([expected.high], rel=1e-6, abs=1e-6)


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=30), st.sampled_from([0.1, 1.0, 7.0]))
def test_equal_weights_leave_the_interval_of_a_mean_as_it_is(values, weight):
    values = np.array(values, float)
    sums = [[len(values)], [values.sum()], [(values**2).sum()]]
    plain = intervals.of_means(*sums)
    weighted = intervals.of_means(*(weight * np.array(part) for part in sums), weight_squares=[weight**2 * len(values)])
    for part in ("estimate", "lower", "upper"):
        assert getattr(weighted, part) == pytest.approx(getattr(plain, part), abs=1e-6, nan_ok=True)


def test_a_weighted_mean_is_that_of_duplicated_rows():
    values, weights = np.array([1.0, 2.0, 5.0]), np.array([1, 3, 2])
    sums = [weights.sum()], [(weights * values).sum()], [(weights * values**2).sum()]
    ours = intervals.of_means(*sums, weight_squares=[(weights**2).sum()])
    assert ours.estimate == pytest.approx([np.repeat(values, weights).mean()])


def test_intervals_of_weighted_means_hold_the_mean_as_often_as_they_say():
    generator = np.random.default_rng(2)
    weights = generator.exponential(size=(3000, 80))
    values = generator.normal(3, 1, weights.shape)
    sums = weights.sum(1), (weights * values).sum(1), (weights * values**2).sum(1)
    ours = intervals.of_means(*sums, weight_squares=(weights**2).sum(1))
    assert np.mean((ours.lower <= 3) & (ours.upper >= 3)) == pytest.approx(0.95, abs=0.02)


def test_a_mean_of_one_row_has_no_interval():
    assert intervals.of_means([1, 0], [2, 0], [4, 0]).evidence.tolist() == [Evidence.UNDEFINED] * 2


def test_equal_values_have_no_spread_though_their_sums_round():
    # The sum of squares less its mean square is 2e-17 here, not 0.
    values = np.full(10, 0.1)
    moments = intervals.Moments.of_sums([10], [values.sum()], [(values**2).sum()])
    assert moments.standard_error.tolist() == [0]


@pytest.mark.parametrize(("positives", "negatives"), [(5, 7), (40, 12), (2, 2)])
def test_a_perfect_auc_has_newcombes_interval(positives, negatives):
    def excess(bound):
        others = (positives + negatives) / 2 - 1
        variance = bound * (1 - bound) * (1 + others * ((1 - bound) / (2 - bound) + bound / (1 + bound)))
        return 1 - bound - 1.959963984540054 * np.sqrt(variance / (positives * negatives))

    areas = delong.Areas(*(np.array([value], float) for value in (1, 0, positives, negatives)))
    ours = intervals.of_areas(areas)
    assert ours.lower == pytest.approx([optimize.brentq(excess, 0.01, 1 - 1e-9)])
    assert ours.upper == pytest.approx([1])


def test_the_interval_of_an_auc_of_0_mirrors_that_of_1():
    zero, one = (delong.Areas(*(np.array([v], float) for v in (value, 0, 9, 6))) for value in (0, 1))
    assert intervals.of_areas(zero).upper == pytest.approx(1 - intervals.of_areas(one).lower)


def test_the_interval_of_an_auc_is_delongs_on_the_logit_scale():
    areas = delong.Areas(*(np.array([value], float) for value in (0.8, 0.0025, 30, 30)))
    ours = intervals.of_areas(areas)
    # logit 0.8 = log 4; its standard error is 0.05 / (0.8 * 0.2).
    low, high = (np.log(4) + sign * 1.959963984540054 * 0.3125 for sign in (-1, 1))
    assert (ours.lower, ours.upper) == (
        pytest.approx([1 / (1 + np.exp(-low))]),
        pytest.approx([1 / (1 + np.exp(-high))]),
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_of_aucs_hold_the_auc_as_often_as_they_say(weighted):
    generator = np.random.default_rng(3)
    silos, rows = 1500, 80
    labels = np.tile(np.arange(rows) % 2, silos)
    scores = generator.normal(labels, 1)
    weights = generator.exponential(size=len(labels)) if weighted else np.ones(len(labels))
    positive, negative = weights * labels, weights * (1 - labels)
    areas = delong.areas(np.repeat(np.arange(silos), rows), scores, positive, negative, silos, positive**2, negative**2)
    ours, truth = intervals.of_areas(areas), stats.norm.cdf(1 / np.sqrt(2))
    assert np.mean((ours.lower <= truth) & (truth <= ours.upper)) == pytest.approx(0.95, abs=0.025)


def test_silos_without_enough_evidence_lose_their_claim_and_say_what_is_missing():
    ours = intervals.of_rates([1, 0, 1], [2, 0, 2])
    claimed = ours.claimed(np.array([Evidence.ENOUGH, Evidence.TOO_FEW_ROWS, Evidence.TOO_FEW_ROWS], np.int8))
    assert claimed.evidence.tolist() == [Evidence.ENOUGH, Evidence.TOO_FEW_ROWS, Evidence.TOO_FEW_ROWS]
    assert np.isnan(claimed.estimate).tolist() == [False, True, True]


def test_the_standard_error_is_the_half_width_in_normal_quantiles():
    ours = intervals.of_means([1000], [0], [999_000])
    # Student's quantile at 999 degrees of freedom is close to the normal one: sqrt(1000 / 1000).
    assert ours.standard_error() == pytest.approx([1], rel=2e-3)


@pytest.mark.parametrize(
    ("successes", "trials", "message"),
    [
        ([2], [1], "1 silos have more successes than trials"),
        ([-1], [1], "negative"),
        ([1], [1, 2], "must be of one length"),
        ([np.inf], [1], "NaN or infinite"),
    ],
)
def test_impossible_counts_are_refused(successes, trials, message):
    with pytest.raises(ValueError, match=message):
        intervals.of_rates(successes, trials)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95])
def test_a_confidence_out_of_range_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence is"):
        intervals.of_rates([1], [2], confidence)
