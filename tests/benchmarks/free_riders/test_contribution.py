import numpy as np
import pytest

from benchmarks.free_riders import contribution, federated_averaging, federated_runs, populations, retraining
from tfx_federated.contribution_evaluator import model_function

SETTINGS = federated_averaging.Settings(rounds=3, hidden_units=4)


@pytest.fixture(scope="module")
def federation():
    return retraining.draw(populations.taxi(), seed=2, silos=3)


@pytest.fixture(scope="module")
def network(federation):
    return federated_averaging.Network(federation.features.shape[1], SETTINGS.hidden_units)


@pytest.fixture(scope="module")
def run(federation):
    return federated_averaging.train(federation.silos, SETTINGS, 0)


def test_a_run_on_disk_is_what_was_trained(tmp_path, federation, network, run):
    ledger = federated_runs.write(tmp_path / "run", run, network)
    assert ledger.silos == [silo.name for silo in federation.silos]
    for number, turn in enumerate(run.rounds, start=1):
        stored = ledger.updates(number)
        np.testing.assert_array_equal(stored.global_weights, turn.global_weights)
        np.testing.assert_allclose(stored.updates, turn.updates, atol=1e-3 * np.abs(turn.updates).max())
    np.testing.assert_array_equal(ledger.last_round_weights(), run.final_weights)
    function = model_function.ModelFunction(ledger.model_path)
    found = function.predictions(run.final_weights[np.newaxis], {federated_runs.FEATURES: federation.features[:100]})
    expected = 1 / (1 + np.exp(-network.logits(run.final_weights, federation.features[:100])))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_without_updates_a_run_has_a_summary_ledger(tmp_path, network, run):
    assert not federated_runs.write(tmp_path / "run", run, network, is_detailed=False).is_detailed


def test_a_summary_is_over_federations():
    exact = [retraining.ExactValues([1.0, 2.0], 3.0, seconds) for seconds in (10.0, 20.0)]
    comparisons = [
        contribution.Comparison(
            seed, each, dict.fromkeys(contribution.METHODS, rank), dict.fromkeys(contribution.METHODS, 1.0)
        )
        for seed, each, rank in zip((5, 6), exact, (1.0, 0.5), strict=True)
    ]
    found = contribution.summary(comparisons, [])
    assert (found["silos"], found["seeds"], found["exact_seconds"]) == (2, [5, 6], 15.0)
    assert (found["spearman"], found["least_spearman"]) == (0.75, 0.5)
    assert found["cost_share"] == pytest.approx((1 / 10 + 1 / 20) / 2)
