import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_federated.statistics import shrinkage

SILOS = st.lists(st.tuples(st.floats(-10, 10), st.floats(0.01, 3)), min_size=2, max_size=30)
# Rubin (1981), as in Gelman et al., Bayesian Data Analysis, Table 5.2.
SCHOOLS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def drawn(values, errors, draws=1000):
    return np.concatenate(list(shrinkage.posterior(values, errors, draws)))


@given(SILOS)
def test_the_weighted_sum_of_squares_is_what_paule_and_mandel_expect(silos):
    values, errors = np.array(silos).T
    between = shrinkage.paule_mandel(values, errors)
    weights = 1 / (errors**2 + between)
    squares = (weights * (values - np.average(values, weights=weights)) ** 2).sum()
    if between:
        assert squares == pytest.approx(len(values) - 1)
    else:
        assert squares <= (len(values) - 1) * (1 + 1e-9)


def test_with_equal_errors_the_variance_between_silos_is_the_observed_less_the_error():
    values = np.array([0.0, 1.0, 2.0, 5.0])
    assert shrinkage.paule_mandel(values, np.full(4, 0.5)) == pytest.approx(values.var(ddof=1) - 0.25)


def test_without_noise_the_variance_between_silos_is_the_observed_one():
    assert shrinkage.paule_mandel([0.0, 1.0, 5.0], np.zeros(3)) == pytest.approx(7)


def test_one_silo_has_no_variance_between_silos():
    assert shrinkage.paule_mandel([0.5], [0.1]) == 0
    assert shrinkage.paule_mandel([0.5], [0.0]) == 0


@given(SILOS)
def test_spread_values_spread_as_the_true_ones_do_and_keep_their_side_of_the_mean(silos):
    values, errors = np.array(silos).T
    between = shrinkage.paule_mandel(values, errors)
    mean = np.average(values, weights=1 / (errors**2 + between))
    spread = shrinkage.spread_values(values, errors)
    assert ((spread - mean) ** 2).sum() / (len(values) - 1) == pytest.approx(between, abs=1e-9)
    assert ((spread - mean) * (values - mean) >= -1e-9).all()
    assert (np.abs(spread - mean) <= np.abs(values - mean) + 1e-9).all()


def test_spread_values_of_many_silos_spread_as_the_true_ones_do():
    generator = np.random.default_rng(13)
    errors = generator.uniform(0.05, 0.3, 5000)
    values = generator.normal(0.7, 0.1, 5000) + errors * generator.normal(size=5000)
    spread = shrinkage.spread_values(values, errors)
    assert values.std() > 0.15
    assert (spread.mean(), spread.std()) == (pytest.approx(0.7, abs=0.01), pytest.approx(0.1, rel=0.1))


def test_values_without_noise_stay_as_they_are():
    values = np.array([0.2, 0.4, 0.9])
    assert shrinkage.spread_values(values, np.zeros(3)) == pytest.approx(values)
    assert drawn(values, np.zeros(3), 5) == pytest.approx(np.tile(values, (5, 1)))


def test_equal_values_without_noise_have_no_error():
    worst = shrinkage.worst_silo([0.5] * 4, [0.0] * 4)
    assert (worst.value, worst.lower, worst.upper) == pytest.approx((0.5, 0.5, 0.5))
    assert shrinkage.spread_values([0.5] * 4, [0.0] * 4) == pytest.approx(np.full(4, 0.5))


def test_an_error_of_0_is_taken_for_the_least_positive_one():
    ours, expected = (shrinkage.spread_values([0.1, 0.5, 0.9], errors) for errors in ([0, 0.1, 0.2], [0.1, 0.1, 0.2]))
    assert ours == pytest.approx(expected)


def test_the_posterior_of_the_eight_schools_is_the_published_one():
    # Table 5.3: medians and 95 % points of schools A and C.
    effects = drawn(*SCHOOLS, 20000)
    assert np.median(effects, axis=0)[[0, 2]] == pytest.approx([10, 7], abs=1)
    assert np.quantile(effects[:, 0], [0.025, 0.975]) == pytest.approx([-2, 31], abs=2)
    assert np.quantile(effects[:, 2], [0.025, 0.975]) == pytest.approx([-11, 19], abs=2)


def test_of_many_silos_the_posterior_is_that_with_a_known_spread():
    generator = np.random.default_rng(15)
    errors = generator.uniform(0.05, 0.3, 5000)
    truth = generator.normal(0.7, 0.1, 5000)
    effects = drawn(truth + errors * generator.normal(size=5000), errors)
    # The posterior variance of a normal value: 1 / (1 / 0.1^2 + 1 / error^2).
    assert effects.var(axis=0).mean() == pytest.approx(np.mean(1 / (100 + errors**-2)), rel=0.1)
    assert np.mean((effects.mean(0) - truth) ** 2) == pytest.approx(np.mean(1 / (100 + errors**-2)), rel=0.1)
    assert effects.std(axis=1).mean() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("values", [[0.6], [0.6, 0.7]])
def test_below_three_silos_each_stands_for_itself(values):
    effects = drawn(values, [0.1] * len(values), 20000)
    assert effects.mean(0) == pytest.approx(values, abs=0.005)
    assert effects.std(0) == pytest.approx([0.1] * len(values), rel=0.05)


@pytest.mark.parametrize(("spread", "silos"), [(0.1, 20), (0.03, 20), (0.01, 10), (0.1, 3)])
def test_the_worst_silo_is_found_with_less_bias_and_held_as_often_as_it_says(spread, silos):
    found, naive, held = [], [], []
    for seed in range(300):
        generator = np.random.default_rng(seed)
        errors = generator.uniform(0.02, 0.1, silos)
        true_values = generator.normal(0.7, spread, silos)
        values = true_values + errors * generator.normal(size=silos)
        worst = shrinkage.worst_silo(values, errors, draws=300, seed=seed)
        found.append(worst.value - true_values.min())
        naive.append(values.min() - true_values.min())
        held.append(worst.lower <= true_values.min() <= worst.upper)
    assert abs(np.mean(found)) < 0.5 * abs(np.mean(naive))
    assert 0.88 < np.mean(held) < 0.99


def test_the_worst_silo_of_a_loss_is_the_greatest():
    assert shrinkage.worst_silo([0.2, 0.9], [0.01, 0.01], higher_is_better=False).value == pytest.approx(0.9, abs=0.01)
    assert shrinkage.worst_silo([0.2, 0.9], [0.01, 0.01], higher_is_better=True).value == pytest.approx(0.2, abs=0.01)


def test_the_same_seed_gives_the_same_interval():
    assert shrinkage.worst_silo(*SCHOOLS, seed=3) == shrinkage.worst_silo(*SCHOOLS, seed=3)
    assert shrinkage.worst_silo(*SCHOOLS, seed=3) != shrinkage.worst_silo(*SCHOOLS, seed=4)


def test_draws_come_in_blocks_whatever_the_number_of_silos(monkeypatch):
    monkeypatch.setattr(shrinkage, "_BLOCK", 20)
    blocks = list(shrinkage.posterior(*SCHOOLS, draws=5))
    assert [block.shape for block in blocks] == [(2, 8), (2, 8), (1, 8)]
    monkeypatch.setattr(shrinkage, "_BLOCK", 1)
    assert [block.shape for block in shrinkage.posterior(*SCHOOLS, draws=2)] == [(1, 8)] * 2


@pytest.mark.parametrize(
    ("values", "errors", "message"),
    [
        ([], [], "values holds no silo"),
        ([0.5, np.nan], [0.1, 0.1], "values holds 1 values that are NaN"),
        ([0.5], [-0.1], "standard_errors holds 1 negative values"),
        ([0.5], [0.1, 0.1], "must be of one length"),
    ],
)
def test_bad_silos_are_refused(values, errors, message):
    for function in (shrinkage.spread_values, shrinkage.paule_mandel, shrinkage.worst_silo):
        with pytest.raises(ValueError, match=message):
            function(values, errors)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="draws is 0"):
        shrinkage.worst_silo([0.5], [0.1], draws=0)
    with pytest.raises(ValueError, match="confidence is 1"):
        shrinkage.worst_silo([0.5], [0.1], confidence=1)
