import numpy as np
import pytest

from benchmarks.free_riders import behaviours, federated_averaging, populations

SETTINGS = federated_averaging.Settings(rounds=4, hidden_units=4)


@pytest.fixture
def silos():
    return populations.draw(populations.taxi(), np.random.default_rng(0))[:6]


def _run(behaviour, silos):
    chosen = [silos[1].name, silos[4].name]
    planted = behaviour(silos, chosen, np.random.default_rng(1))
    assert planted.planted == set(chosen)
    return planted, federated_averaging.train(planted.silos, SETTINGS, 0, planted.lies)


def test_zeros_are_zero(silos):
    _, run = _run(behaviours.zeros, silos)
    norms = np.array([np.linalg.norm(turn.updates, axis=1) for turn in run.rounds])
    assert (norms[:, [1, 4]] == 0).all()
    assert (norms[:, [0, 2, 3, 5]] > 0).all()


def test_noise_has_the_norm_of_an_honest_update(silos):
    _, run = _run(behaviours.noise, silos)
    honest = federated_averaging.train(silos, SETTINGS, 0)
    found, expected = (np.linalg.norm(each.rounds[0].updates, axis=1) for each in (run, honest))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert not np.allclose(run.rounds[0].updates[1], honest.rounds[0].updates[1])


def test_decaying_noise_has_the_deviation_of_the_first_change_over_the_round(silos):
    _, run = _run(behaviours.decaying_noise, silos)
    deviation = np.std(run.aggregate(0))
    for number in (1, 2, 3):
        assert np.std(run.rounds[number].updates[1]) == pytest.approx(deviation / number, rel=0.1)


def test_delta_weights_are_the_last_change_of_the_global_model(silos):
    _, run = _run(behaviours.delta_weights, silos)
    np.testing.assert_allclose(run.rounds[2].updates[4], run.aggregate(1), atol=1e-6)


def test_noise_on_delta_weights_decays(silos):
    _, run = _run(behaviours.delta_weights_with_decaying_noise, silos)
    shares = []
    for number in (1, 3):
        update, change = run.rounds[number].updates[4], run.aggregate(number - 1)
        cosine = update @ change / np.linalg.norm(update) / np.linalg.norm(change)
        shares.append(1 - cosine**2)
    # Noise and copy have norms 1 / number and 1.
    np.testing.assert_allclose(shares, [1 / 2, 1 / 10], rtol=0.2)


def test_garbage_labels_keep_their_rate_and_their_rows(silos):
    planted, _ = _run(behaviours.garbage_labels, silos)
    assert planted.silos[4].labels.sum() == silos[4].labels.sum()
    assert (planted.silos[4].labels != silos[4].labels).any()
    assert planted.silos[4].features is silos[4].features


def test_flipped_labels_are_the_others(silos):
    planted, _ = _run(behaviours.flipped_labels, silos)
    assert (planted.silos[1].labels + silos[1].labels == 1).all()
    assert (planted.silos[0].labels == silos[0].labels).all()


def test_duplicated_rows_are_those_of_an_involved_neighbour(silos):
    planted, _ = _run(behaviours.duplicated_rows, silos)
    assert len(planted.involved) == 2
    originals = [silo for silo in silos if silo.name in planted.involved]
    assert any(planted.silos[1].features is silo.features for silo in originals)
    assert planted.silos[1].name == silos[1].name


def test_too_few_rows_are_three_to_ten(silos):
    planted, _ = _run(behaviours.too_few_rows, silos)
    assert all(3 <= len(planted.silos[place].labels) <= 10 for place in (1, 4))
