"""The methods on small runs, through the function that the executor calls."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from tests.tfx_federated.contribution_evaluator import small_evaluation
from tests.tfx_federated.contribution_evaluator.small_run import FEATURES, Federation, predictions, write, write_summary
from tfx_federated.contribution_evaluator import (
    coalition_utility,
    contributions,
    federated_run,
    measurement,
    methods,
    model_function,
    own_models,
    utilities,
)

LOSS = utilities.OverallMetric("negative_log_loss")
PLAIN_GTG = methods.GtgShapley(between_rounds=0.0, truncation=0.0)


def training(ledger, function, rows=None, local_models=None, utility=LOSS):
    rows = small_evaluation.held_out() if rows is None else rows
    return contributions.Training(ledger, coalition_utility.CoalitionUtility(function, rows, utility), local_models)


def of_run(uri, **options):
    ledger = federated_run.read(str(uri))
    return training(ledger, model_function.ModelFunction(ledger.model_path), **options)


def measured(made, method, train=None):
    found = measurement.measure(made, method, 0, train)
    assert found.refused == []
    return found.contribution


def refusals(made, method, train=None):
    found = measurement.measure(made, method, 0, train)
    assert found.contribution is None
    return dict(found.refused)


@pytest.fixture(scope="module")
def whole(ledger, function):
    return training(ledger, function)


@pytest.fixture(scope="module")
def rows():
    return small_evaluation.held_out()


def utility_of(weights, rows):
    found = predictions(weights.astype(np.float64), rows.features["x"])
    return np.mean(np.where(rows.labels == 1, np.log(found), np.log(1 - found)))


def over_all_orders(players, value):
    orders = list(itertools.permutations(players))
    totals = dict.fromkeys(players, 0.0)
    for order in orders:
        for place, player in enumerate(order):
            totals[player] += (value(order[: place + 1]) - value(order[:place])) / len(orders)
    return totals


def by_hand(federation, rows):
    """Returns each round's Shapley values by silo, from the updates and all orders of the cohort."""
    found = []
    for _, cohort, before, updates in federation.rounds:
        update_of = dict(zip(cohort, updates, strict=True))

        def value(members, before=before, update_of=update_of):
            change = federation.mean(members, [update_of[silo] for silo in members]) if members else 0
            return utility_of(before + change, rows)

        found.append(over_all_orders(cohort, value))
    return found


def test_the_federated_shapley_value_is_that_of_all_orders_summed_over_rounds(whole, federation, rows):
    found, expected = measured(whole, methods.FederatedShapley()), by_hand(federation, rows)
    for place, silo in enumerate(whole.ledger.silos):
        np.testing.assert_allclose(
            found.by_round[:, place], [turn.get(silo, np.nan) for turn in expected], atol=2e-3, equal_nan=True
        )
        assert found.values[place] == pytest.approx(np.nansum(found.by_round[:, place]))
    assert np.isnan(found.by_round[0, whole.ledger.place["late"]])
    assert found.values[whole.ledger.place["idle"]] != 0
    assert found.efficiency_gap == pytest.approx(0, abs=1e-3)
    assert found.rounds == [1, 2, 3, 4]


def test_sampled_rounds_are_as_close_to_exact_ones_as_their_errors_say(whole):
    exact = measured(whole, methods.FederatedShapley()).values
    found = measured(whole, methods.FederatedShapley(exact_silos=0, permutations=60))
    assert (np.abs(found.values - exact) <= 4 * found.standard_errors + 1e-9).all()
    assert (found.standard_errors > 0).any()


def test_gtg_without_thresholds_comes_to_the_plain_values(whole):
    exact = measured(whole, methods.FederatedShapley()).values
    found = measured(whole, PLAIN_GTG)
    assert found.skipped_rounds == []
    np.testing.assert_allclose(found.values, exact, atol=1e-9)


def test_gtg_leaves_out_rounds_that_change_little(whole):
    found = measured(whole, methods.GtgShapley(between_rounds=1.0))
    changes = np.abs(whole.changes())
    expected = [number for number, change in enumerate(changes, start=1) if change < changes.mean()]
    assert (found.skipped_rounds, len(found.rounds)) == (expected, 4 - len(expected))
    assert found.efficiency_gap == pytest.approx(sum(changes[number - 1] for number in expected), abs=0.01)


def test_a_decay_lets_later_rounds_count_less_and_values_are_no_shares(whole):
    plain, decayed = (measured(whole, methods.FederatedShapley(round_decay=decay)) for decay in (1.0, 0.5))
    np.testing.assert_allclose(decayed.by_round, plain.by_round * 0.5 ** np.arange(4)[:, np.newaxis], rtol=1e-6)
    assert decayed.gained is None


def test_leaving_one_out_is_what_each_round_loses(whole, federation, rows):
    found = measured(whole, methods.LeaveOneOut())
    expected = 0.0
    for _, cohort, before, updates in federation.rounds:
        others = [silo for silo in cohort if silo != "large"]
        kept = [update for silo, update in zip(cohort, updates, strict=True) if silo != "large"]
        everybody = utility_of(before + federation.mean(cohort, updates), rows)
        expected += everybody - utility_of(before + federation.mean(others, kept), rows)
    assert found.values[whole.ledger.place["large"]] == pytest.approx(expected, abs=2e-3)
    assert found.gained is None


def alone(federation, silos):
    """Returns the models that silos trained alone, by the steps of the training."""
    weights = []
    for silo in silos:
        moved = np.zeros(FEATURES + 1)
        for _ in federation.rounds:
            moved = moved + federation.update(moved, silo)
        weights.append(moved)
    return own_models.OwnModels({silo: place for place, silo in enumerate(silos)}, np.array(weights, np.float32))


def test_values_by_local_models_are_those_of_all_orders_of_averaged_models(ledger, function, federation, rows):
    silos = ["small", "large", "middle"]
    local = alone(federation, silos)
    found = measured(training(ledger, function, local_models=local), methods.LocalModelsShapley())

    def value(members):
        if not members:
            return utility_of(np.zeros(FEATURES + 1), rows)
        return utility_of(federation.mean(members, [local.weights[silos.index(silo)] for silo in members]), rows)

    expected = over_all_orders(silos, value)
    for silo, place in ledger.place.items():
        assert found.values[place] == pytest.approx(expected.get(silo, np.nan), abs=1e-5, nan_ok=True)
    federated, nobody = utility_of(federation.final, rows), value(())
    assert found.gained == pytest.approx(federated - nobody, abs=1e-5)
    assert found.efficiency_gap == pytest.approx(federated - value(tuple(silos)), abs=1e-5)


def test_of_many_local_models_orders_are_sampled(ledger, function, federation):
    made = training(ledger, function, local_models=alone(federation, list(federation.rows)))
    exact = measured(made, methods.LocalModelsShapley())
    sampled = measured(made, methods.LocalModelsShapley(exact_silos=0, truncation=0.0, maximum_evaluations=12))
    assert sampled.evaluations < exact.evaluations
    assert sampled.values.sum() == pytest.approx(exact.values.sum())
    assert (sampled.standard_errors > 0).all()


def test_local_models_need_no_stored_updates(tmp_path, federation):
    local = alone(federation, list(federation.rows))
    found = measured(
        of_run(write_summary(tmp_path / "run", federation), local_models=local), methods.LocalModelsShapley()
    )
    assert np.isfinite(found.values).all()


def trainer(federation):
    """Trains coalitions by federated averaging of those silos."""

    def train(coalitions):
        weights = []
        for members in coalitions:
            moved = np.zeros(FEATURES + 1)
            for _ in federation.rounds:
                if members:
                    updates = [federation.update(moved, silo) for silo in members]
                    moved = moved + federation.mean(members, updates)
            weights.append(moved)
        return np.array(weights, np.float32)

    return train


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """Four silos without a liar, of which one has other labels than the rest."""
    federation = Federation({"a": 200, "b": 60, "c": 30, "flipped": 40}, rounds=3, flipped=["flipped"])
    return federation, write(tmp_path_factory.mktemp("honest") / "run", federation)


def test_exact_values_by_retraining_are_those_of_all_orders(honest, rows):
    federation, uri = honest
    made = of_run(uri)
    train = trainer(federation)
    found = measured(made, methods.Retraining(), train)
    values = {}

    def value(members):
        key = frozenset(members)
        if key not in values:
            values[key] = utility_of(train([list(key)])[0], rows)
        return values[key]

    expected = over_all_orders(tuple(federation.rows), value)
    np.testing.assert_allclose(found.values, [expected[silo] for silo in made.ledger.silos], atol=1e-5)
    assert found.efficiency_gap == pytest.approx(0, abs=1e-9)
    assert found.evaluations == 16


def test_without_retraining_values_have_the_order_of_exact_ones(honest):
    federation, uri = honest
    made = of_run(uri, local_models=alone(federation, list(federation.rows)))
    exact = measured(made, methods.Retraining(), trainer(federation)).values
    for method in (methods.LocalModelsShapley(), methods.FederatedShapley(), methods.GtgShapley()):
        found = measured(made, method).values
        assert stats.spearmanr(exact, found).statistic >= 0.8
        assert np.argmin(found) == made.ledger.place["flipped"]


def test_a_group_that_is_left_out_shares_what_is_lost(honest, rows):
    federation, uri = honest
    made, train = of_run(uri), trainer(federation)
    found = measured(made, methods.LeaveGroupOut(groups=2), train)
    assert sorted(silo for group in found.groups for silo in group) == sorted(federation.rows)
    everybody = utility_of(train([list(federation.rows)])[0], rows)
    for group in found.groups:
        others = [silo for silo in federation.rows if silo not in group]
        lost = everybody - utility_of(train([others])[0], rows)
        for silo in group:
            assert found.values[made.ledger.place[silo]] == pytest.approx(lost / len(group), abs=1e-5)


@pytest.mark.parametrize(
    "method", [methods.LocalModelsShapley(), methods.GtgShapley(), methods.FederatedShapley(), methods.Retraining()]
)
def test_one_silo_has_all_of_the_gain(tmp_path, method):
    federation = Federation({"only": 40})
    made = of_run(write(tmp_path / "run", federation), local_models=alone(federation, ["only"]))
    found = measured(made, method, trainer(federation))
    assert found.values[0] == pytest.approx(made.gained, abs=2e-3)
    assert found.standard_errors[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "method", [methods.LocalModelsShapley(), methods.FederatedShapley(), methods.LeaveOneOut(), methods.GtgShapley()]
)
def test_identical_silos_have_the_same_value(tmp_path, method):
    federation = Federation({"a": 40, "b": 40, "c": 40}, lies=dict.fromkeys("abc", lambda number, _: np.full(4, 0.1)))
    same = own_models.OwnModels({"a": 0, "b": 1, "c": 2}, np.full((3, FEATURES + 1), 0.3, np.float32))
    found = measured(of_run(write(tmp_path / "run", federation), local_models=same), method)
    errors = 4 * found.standard_errors.max()
    np.testing.assert_allclose(found.values, found.values[0], atol=1e-9 + errors)


@pytest.mark.parametrize("method", [methods.FederatedShapley(), methods.LeaveOneOut(), methods.GtgShapley()])
def test_a_training_that_gains_nothing_has_values_of_zero(tmp_path, method):
    federation = Federation({"a": 40, "b": 20}, lies=dict.fromkeys("ab", lambda number, update: 0 * update))
    found = measured(of_run(write(tmp_path / "run", federation)), method)
    assert (found.values.tolist(), found.standard_errors.tolist()) == ([0, 0], [0, 0])


def test_a_silo_that_was_never_asked_has_no_value(tmp_path):
    federation = Federation({"a": 40, "b": 20, "idle": 30}, asked=lambda number, silo: silo != "idle")
    found = measured(of_run(write(tmp_path / "run", federation)), methods.FederatedShapley())
    assert np.isnan(found.values).tolist() == np.isnan(found.standard_errors).tolist() == [False, False, True]


def test_what_cannot_be_computed_says_why(whole, tmp_path, federation):
    assert "with local_models=True" in refusals(whole, methods.LocalModelsShapley())["LocalModelsShapley"]
    few = methods.GtgShapley(maximum_silos=4)
    assert refusals(whole, few) == {"GtgShapley": "there are 5 silos, more than GtgShapley's maximum_silos of 4"}
    assert "module_file" in refusals(whole, methods.Retraining())["Retraining"]
    train = trainer(federation)
    assert "maximum_silos of 2" in refusals(whole, methods.Retraining(maximum_silos=2), train)["Retraining"]
    assert "fewer than LeaveGroupOut's 8 groups" in refusals(whole, methods.LeaveGroupOut(), train)["LeaveGroupOut"]
    summary = of_run(write_summary(tmp_path / "run", federation))
    for method in (methods.GtgShapley(), methods.FederatedShapley(), methods.LeaveOneOut()):
        assert "train with ledger=DetailedLedger()" in refusals(summary, method)[type(method).__name__]


@pytest.mark.parametrize("level", ["RecordLevel", "SiloLevel"])
def test_local_models_beside_a_private_training_are_refused(tmp_path, federation, level):
    uri = write_summary(tmp_path / "run", federation, privacy={"type": level})
    made = of_run(uri, local_models=alone(federation, list(federation.rows)))
    assert (
        "models that silos trained alone are not private"
        in refusals(made, methods.LocalModelsShapley())["LocalModelsShapley"]
    )


def test_the_default_takes_the_best_that_can_be_computed(ledger, function, tmp_path, federation):
    local = alone(federation, list(federation.rows))
    best = measurement.measure(training(ledger, function, local_models=local), methods.DEFAULT, 0, None)
    assert (best.contribution.method, best.refused) == (methods.LocalModelsShapley(), [])
    second = measurement.measure(training(ledger, function), methods.DEFAULT, 0, None)
    assert isinstance(second.contribution.method, methods.GtgShapley)
    assert [name for name, _ in second.refused] == ["LocalModelsShapley"]
    last = measurement.measure(of_run(write_summary(tmp_path / "run", federation)), methods.DEFAULT, 0, None)
    assert isinstance(last.contribution.method, methods.GradientCosine)
    assert [name for name, _ in last.refused] == ["LocalModelsShapley", "GtgShapley"]


def test_an_undefined_metric_refuses_what_needs_it_and_not_the_cosine(ledger, function):
    rows = small_evaluation.held_out(labels=1)
    made = training(ledger, function, rows=rows, utility=utilities.OverallMetric("auc"))
    found = measurement.measure(made, methods.Fallback(methods.FederatedShapley(), methods.GradientCosine()), 0, None)
    assert isinstance(found.contribution.method, methods.GradientCosine)
    assert "'auc' is undefined on the held-out rows" in dict(found.refused)["FederatedShapley"]


def test_values_are_the_same_under_the_same_seed(whole):
    few = methods.GtgShapley(maximum_evaluations=20)
    found = [measurement.measure(whole, few, seed, None).contribution.values for seed in (1, 1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_a_utility_counts_the_models_that_it_evaluates(ledger, function):
    made = training(ledger, function)
    found = measured(made, methods.FederatedShapley())
    assert found.evaluations == made.utility.evaluations == 2 + 16 + 3 * 32


def test_a_broken_file_is_no_reason_to_take_another_method(tmp_path, federation):
    uri = write(tmp_path / "run", federation)
    (tmp_path / "run" / "updates" / "round-00002.npz").write_bytes(b"")
    with pytest.raises(federated_run.LedgerError, match=r"round-00002.npz is broken"):
        measurement.measure(of_run(uri), methods.Fallback(methods.GtgShapley(), methods.GradientCosine()), 0, None)


def test_contributions_without_a_gain_have_no_efficiency_gap():
    found = contributions.Contribution(methods.GradientCosine(), np.ones(2), np.zeros(2), gained=None)
    assert found.efficiency_gap is None
    assert dataclasses.replace(found, gained=3.0).efficiency_gap == 1.0
