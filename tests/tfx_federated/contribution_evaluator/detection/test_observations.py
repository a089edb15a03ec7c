import numpy as np
import pytest

from tests.tfx_federated.contribution_evaluator.detection import small_federation
from tfx_federated.contribution_evaluator.detection import observations, update_traits


@pytest.fixture(scope="module")
def ledger():
    return small_federation.Federation(2).train()


def _others(ledger, turn, silo):
    _, weights, _, updates = ledger.updates(turn + 1)
    rest = np.delete(np.arange(len(weights)), silo)
    return weights[rest] @ updates[rest] / weights.sum()


def test_alignment_and_influence_from_the_summary_are_those_of_the_updates(ledger):
    observed = observations.observe(ledger)
    _, weights, _, updates = ledger.updates(5)
    aggregate = weights @ updates / weights.sum()
    for silo in (0, 7, 23):
        others = _others(ledger, 4, silo)
        cosine = updates[silo] @ others / np.linalg.norm(updates[silo]) / np.linalg.norm(others)
        between = aggregate @ others / np.linalg.norm(aggregate) / np.linalg.norm(others)
        influence = weights[silo] / weights.sum() * updates[silo] @ aggregate / (aggregate @ aggregate)
        assert observed.alignment[4, silo] == pytest.approx(cosine, abs=1e-4)
        assert observed.cosine_without[4, silo] == pytest.approx(between, abs=1e-4)
        assert observed.influence[4, silo] == pytest.approx(influence, abs=1e-4)
    np.testing.assert_allclose(observed.influence.sum(axis=1), 1)


def test_a_silo_whose_update_was_not_finite_took_no_part():
    ledger = small_federation.Federation(2).train(stores_updates=False)
    expected = observations.observe(ledger).alignment[3]
    ledger.update_norm[4, 0] = ledger.cosine[4, 0] = np.nan

    observed = observations.observe(ledger)

    assert np.isnan(observed.share[4, 0])
    assert np.nansum(observed.share[4]) == pytest.approx(1)
    np.testing.assert_allclose(observed.alignment[3], expected)


def test_a_round_with_an_unknown_cosine_has_no_aggregate():
    ledger = small_federation.Federation(2).train(stores_updates=False)
    ledger.cosine[4, 0] = np.nan

    observed = observations.observe(ledger)

    assert np.isnan(observed.alignment[4]).all()
    assert np.isfinite(observed.alignment[5]).all()


def test_own_share_is_what_the_change_of_the_global_model_leaves(ledger):
    traits = observations.observe(ledger).traits
    _, _, before, _ = ledger.updates(8)
    _, _, now, updates = ledger.updates(9)
    change = now - before
    cosine = updates[5] @ change / np.linalg.norm(updates[5]) / np.linalg.norm(change)
    assert traits.own_share[8, 5] == pytest.approx(1 - cosine**2, rel=1e-4)
    assert np.isnan(traits.own_share[0]).all()


def test_a_silo_asked_every_other_round_is_compared_with_the_change_since():
    federation = small_federation.Federation(2)
    federation.asked = lambda turn, silo: silo > 0 or turn % 2 == 0
    federation.lies[0] = lambda turn, now, before, update: update
    ledger = federation.train()

    traits = observations.observe(ledger).traits

    _, _, before, _ = ledger.updates(7)
    _, _, now, updates = ledger.updates(9)
    change = now - before
    cosine = updates[0] @ change / np.linalg.norm(updates[0]) / np.linalg.norm(change)
    assert traits.own_share[8, 0] == pytest.approx(1 - cosine**2, rel=1e-4)


def test_of_a_large_model_a_part_shows_the_same_replay(monkeypatch):
    federation = small_federation.Federation(2)
    federation.lies[4] = lambda turn, now, before, update: update if before is None else now - before
    ledger = federation.train()
    monkeypatch.setattr(update_traits, "MAXIMUM_PARAMETERS", 20)

    traits = observations.observe(ledger).traits

    assert traits.profile.shape == (small_federation.SILOS, 20)
    assert np.nanmax(traits.own_share[:, 4]) < 1e-6


def test_rounds_with_omitted_updates_stay_unknown():
    ledger = small_federation.Federation(2).train()
    ledger.update_rounds = ledger.rounds[:6]

    observed = observations.observe(ledger)

    assert np.isfinite(observed.traits.own_share[1:6]).all()
    assert np.isnan(observed.traits.own_share[6:]).all()
    assert np.isfinite(observed.alignment).all()
