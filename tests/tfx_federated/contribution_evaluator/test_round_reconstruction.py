import numpy as np
import pytest

from tests.tfx_federated.contribution_evaluator.small_run import FEATURES, Federation, write, write_summary
from tfx_federated.contribution_evaluator import federated_run, round_reconstruction, server_optimizers


def next_weights(ledger, federation):
    """Returns the ledger's weights after each stored round."""
    before = [ledger.updates(number).global_weights for number in ledger.update_rounds]
    return [*before[1:], ledger.last_round_weights()]


def test_rounds_rebuilt_with_all_silos_lead_to_the_next_round(ledger, federation):
    rebuilt = list(round_reconstruction.rebuilt_rounds(ledger))
    assert [found.number for found in rebuilt] == [1, 2, 3, 4]
    for found, expected in zip(rebuilt, next_weights(ledger, federation), strict=True):
        models = found.models(np.ones((1, len(found.silos)), np.bool_))
        np.testing.assert_allclose(models[0], expected, atol=2e-3 * np.abs(expected).max())


def test_a_coalition_moves_by_the_weighted_mean_of_its_updates(ledger, federation):
    found = next(round_reconstruction.rebuilt_rounds(ledger))
    _, cohort, before, updates = federation.rounds[0]
    assert [ledger.silos[place] for place in found.silos] == cohort
    mask = np.array([[silo in ("large", "small") for silo in cohort], [False] * len(cohort)])
    large, small = (updates[cohort.index(silo)] for silo in ("large", "small"))
    models = found.models(mask)
    np.testing.assert_allclose(models[0], before + (300 * large + 12 * small) / 312, atol=2e-3)
    np.testing.assert_array_equal(models[1], before)


@pytest.mark.parametrize("name", ["adam", "yogi", "adagrad", "sgd"])
def test_the_servers_memory_is_that_of_whole_cohorts(tmp_path, federation, name):
    changes = {"server_optimizer": name, "server_momentum": 0.9 if name == "sgd" else 0.0}
    ledger = federated_run.read(write(tmp_path / "run", federation, **changes))
    optimizer = server_optimizers.of_settings(ledger.settings)
    state = optimizer.initial_state(FEATURES + 1)
    for found, (number, cohort, before, updates) in zip(
        round_reconstruction.rebuilt_rounds(ledger), federation.rounds, strict=True
    ):
        change, state = optimizer.step(state, federation.mean(cohort, updates).astype(np.float32), number)
        models = found.models(np.ones((1, len(cohort)), np.bool_))
        np.testing.assert_allclose(models[0], before + change, rtol=0.02, atol=0.02)


def test_rounds_that_are_not_stored_are_left_out(tmp_path, federation):
    ledger = federated_run.read(write(tmp_path / "run", federation, stored=[1, 2]))
    assert [found.number for found in round_reconstruction.rebuilt_rounds(ledger)] == [1, 2]
    assert ledger.omitted_rounds == [3, 4]


def test_it_is_said_why_rounds_cannot_be_rebuilt(tmp_path, federation, ledger):
    assert round_reconstruction.why_impossible(ledger) is None
    summary = federated_run.read(str(write_summary(tmp_path / "summary", federation)))
    assert "train with ledger=DetailedLedger()" in round_reconstruction.why_impossible(summary)
    full = federated_run.read(write(tmp_path / "full", federation, stored=[]))
    assert "raise maximum_bytes" in round_reconstruction.why_impossible(full)
    median = {"type": "GeometricMedian"}
    robust = federated_run.read(write(tmp_path / "robust", federation, aggregation=median))
    assert "aggregated by GeometricMedian" in round_reconstruction.why_impossible(robust)


def test_a_silo_alone_in_every_round_is_all(tmp_path):
    federation = Federation({"only": 30})
    ledger = federated_run.read(write(tmp_path / "run", federation))
    for found in round_reconstruction.rebuilt_rounds(ledger):
        expected = found.stored.global_weights + found.stored.updates[0]
        np.testing.assert_array_equal(found.models(np.array([[True]]))[0], expected)
