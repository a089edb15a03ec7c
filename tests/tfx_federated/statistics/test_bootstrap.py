import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tfx_federated.statistics import bootstrap, delong, dispersion

SCALE = dispersion.Scale()


def areas(value, variance, rows=50.0):
    value, variance = np.array(value, float), np.array(variance, float)
    return bootstrap.Areas(delong.Areas(value, variance, np.full(len(value), rows), np.full(len(value), rows)))


def simulated_rates(seed, silos=50, deviation=0.05):
    generator = np.random.default_rng(seed)
    rates = np.clip(generator.normal(0.8, deviation, silos), 0, 1)
    rows = np.exp(generator.uniform(np.log(30), np.log(1000), silos)).astype(int)
    return rates, bootstrap.Rates(generator.binomial(rows, rates), rows)


def test_rates_are_drawn_as_binomial_counts():
    rates = bootstrap.Rates(np.array([5.0, 40.0]), np.array([10.0, 50.0]))
    chosen = np.tile([0, 1, 1], (20000, 1))
    drawn = rates.draw(np.array([0.3, 0.9]), chosen, np.random.default_rng(1))
    assert drawn.mean(0) == pytest.approx([0.3, 0.9, 0.9], abs=0.005)
    assert drawn.var(0) == pytest.approx([0.21 / 10, 0.09 / 50, 0.09 / 50], rel=0.05)
    assert set(np.unique(drawn[:, 0] * 10).round(9)) <= set(range(11))


def test_weighted_rates_are_drawn_as_so_many_rows_as_the_weights_are_worth():
    # 20 rows of weight 1 and 10 of weight 4 are worth 20.
    rates = bootstrap.Rates(np.array([30.0]), np.array([60.0]), np.array([180.0]))
    drawn = rates.draw(np.array([0.5]), np.zeros(20000, int), np.random.default_rng(2))
    assert drawn.var() == pytest.approx(0.25 / 20, rel=0.05)
    plain = bootstrap.Rates(np.array([10.0]), np.array([20.0]))
    assert rates.values() == plain.values()
    assert rates.standard_errors() == pytest.approx(plain.standard_errors())


def test_less_than_a_row_of_weight_is_drawn_as_one():
    rates = bootstrap.Rates(np.array([0.1]), np.array([0.2]), np.array([0.04]))
    assert set(rates.draw(np.array([0.5]), np.zeros(50, int), np.random.default_rng(3))) == {0, 1}


def test_areas_are_drawn_with_their_mean_and_standard_error_and_stay_within_0_and_1():
    silos = areas([0.7, 0.98], [0.0016, 0.0004])
    drawn = silos.draw(np.array([0.7, 0.98]), np.tile([0, 1], (50000, 1)), np.random.default_rng(4))
    assert drawn.mean(0) == pytest.approx([0.7, 0.98], abs=0.002)
    assert drawn.std(0) == pytest.approx(silos.standard_errors(), rel=0.03)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_a_true_area_of_0_or_1_stays_as_it_is():
    drawn = areas([0.0, 1.0], [0.0, 0.0]).draw(np.array([0.0, 1.0]), np.array([0, 1, 1]), np.random.default_rng(5))
    assert drawn.tolist() == [0, 1, 1]


def test_areas_about_which_little_is_known_keep_to_half_of_the_widest_variance():
    # The interval is from 0 to 1, which implies a variance of 0.065; the widest on [0, 1] is 0.9 * 0.1.
    drawn = areas([0.5], [9.0], rows=2).draw(np.array([0.9]), np.zeros(20000, int), np.random.default_rng(7))
    assert drawn.mean() == pytest.approx(0.9, abs=0.01)
    assert drawn.var() == pytest.approx(0.045, rel=0.05)


def test_perfect_areas_have_a_standard_error():
    assert (areas([0.0, 1.0], [0.0, 0.0]).standard_errors() > 0).all()


def test_means_are_drawn_with_their_standard_errors():
    means = bootstrap.Means(np.array([1.0, 2.0]), np.array([0.1, 0.3]))
    drawn = means.draw(np.array([1.5, 2.5]), np.tile([0, 1], (20000, 1)), np.random.default_rng(6))
    assert drawn.mean(0) == pytest.approx([1.5, 2.5], abs=0.01)
    assert drawn.std(0) == pytest.approx([0.1, 0.3], rel=0.03)


def test_every_statistic_is_observed_as_in_the_summary():
    _, silos = simulated_rates(0)
    found = bootstrap.estimates(silos, silos.trials, SCALE, replicates=20)
    summary = dispersion.summary(silos.values(), silos.trials, SCALE)
    assert {name: estimate.observed for name, estimate in found.items()} == pytest.approx(
        {name: float(value) for name, value in summary.items()}
    )
    for estimate in found.values():
        assert estimate.lower <= estimate.upper


def test_noise_is_taken_out_of_what_is_observed():
    errors = {name: [] for name in ("worst_decile", "best_decile", "variance", "gini_of_error", "largest_gap")}
    for seed in range(100):
        rates, silos = simulated_rates(seed)
        truth = dispersion.summary(rates, silos.trials, SCALE)
        found = bootstrap.estimates(silos, silos.trials, SCALE, replicates=100, seed=seed)
        for name, pairs in errors.items():
            pairs.append((found[name].observed - truth[name], found[name].corrected - truth[name]))
    for pairs in errors.values():
        observed, corrected = np.mean(pairs, axis=0)
        assert abs(corrected) < 0.4 * abs(observed)


def test_intervals_of_silos_like_them_hold_the_truth_about_as_often_as_they_say():
    truth = dispersion.summary(stats.norm.ppf((np.arange(1000) + 0.5) / 1000, 0.8, 0.05), np.ones(1000), SCALE)
    held = {"mean": [], "worst_decile": [], "variance": []}
    for seed in range(200):
        _, silos = simulated_rates(seed)
        found = bootstrap.estimates(silos, silos.trials, SCALE, replicates=200, seed=seed)
        for name, hits in held.items():
            hits.append(found[name].lower <= truth[name] <= found[name].upper)
    for hits in held.values():
        assert 0.85 < np.mean(hits) <= 0.99


def test_equal_silos_have_a_variance_of_0_within_their_interval():
    held = []
    for seed in range(100):
        _, silos = simulated_rates(seed, deviation=0)
        held.append(bootstrap.estimates(silos, silos.trials, SCALE, replicates=100, seed=seed)["variance"].lower == 0)
    assert np.mean(held) > 0.9


def test_the_overall_value_is_kept_in_every_replicate():
    silos = bootstrap.Means(np.array([0.4, 0.6, 0.5]), np.full(3, 1e-9))
    found = bootstrap.estimates(silos, [1, 1, 1], SCALE, overall=0.7, replicates=50)["share_worse_than_overall"]
    assert (found.observed, found.lower, found.upper) == (1, 1, 1)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), min_size=1, max_size=12))
def test_bounds_stay_within_what_a_statistic_can_be(silos):
    successes, more = np.array(silos, float).T
    found = bootstrap.estimates(bootstrap.Rates(successes, successes + more), successes + more, SCALE, replicates=20)
    for name in ("mean", "worst_silo", "worst_decile", "gini_of_error", "jain_of_error", "largest_gap"):
        estimate = found[name]
        assert 0 <= estimate.lower <= estimate.upper <= 1
    assert 0 <= found["variance"].lower <= found["variance"].upper <= 0.25
    assert -1 <= found["size_bias"].lower <= found["size_bias"].upper <= 1


def test_a_correlation_with_equal_sizes_is_undefined():
    silos = bootstrap.Means(np.array([0.4, 0.6, 0.5]), np.full(3, 0.1))
    estimate = bootstrap.estimates(silos, [7, 7, 7], SCALE, replicates=20)["size_correlation"]
    assert np.isnan([estimate.observed, estimate.corrected, estimate.lower, estimate.upper]).all()


def test_silos_without_noise_are_resampled_all_the_same():
    found = bootstrap.estimates(bootstrap.Means(np.arange(5.0), np.zeros(5)), np.ones(5), dispersion.LOSS)["mean"]
    # The standard deviation of a mean of five of them: sqrt(2 / 5).
    assert (found.upper - found.lower) / 2 == pytest.approx(1.96 * np.sqrt(2 / 5), rel=0.1)


def test_the_same_seed_gives_the_same_intervals():
    _, silos = simulated_rates(0)
    first, again, other = (
        bootstrap.estimates(silos, silos.trials, SCALE, replicates=20, seed=seed)["mean"] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_replicates_are_drawn_in_blocks_whatever_the_number_of_silos(monkeypatch):
    _, silos = simulated_rates(0)
    whole = bootstrap.estimates(silos, silos.trials, SCALE, replicates=1000)["mean"]
    monkeypatch.setattr(bootstrap, "_BLOCK", 70)
    blocks = bootstrap.estimates(silos, silos.trials, SCALE, replicates=1000)["mean"]
    for part in ("corrected", "lower", "upper"):
        assert getattr(blocks, part) == pytest.approx(getattr(whole, part), abs=0.005)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replicates": 0}, "replicates is 0; it must be at least 1"),
        ({"confidence": 95}, "confidence is 95"),
        ({"rows": [1, 2]}, "must be of one length"),
        ({"rows": [1, 2, -3]}, "rows holds 1 negative values"),
        ({"silos": bootstrap.Means(np.array([0.1, np.nan, 0.2]), np.ones(3))}, "values holds 1 values that are NaN"),
        ({"silos": bootstrap.Means(np.zeros(0), np.zeros(0)), "rows": []}, "no silo"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"silos": bootstrap.Means(np.array([0.1, 0.3, 0.2]), np.ones(3)), "rows": [1, 2, 3], "scale": SCALE}
    with pytest.raises(ValueError, match=message):
        bootstrap.estimates(**(arguments | change))


def test_rates_without_trials_are_refused():
    with pytest.raises(ValueError, match="1 silos have no trial; leave them out"):
        bootstrap.Rates(np.array([0.0, 1.0]), np.array([0.0, 2.0]))
