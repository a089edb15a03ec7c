import keras
import numpy as np
import pytest

from tests.tfx_federated.contribution_evaluator.small_run import settings
from tfx_federated.contribution_evaluator import server_optimizers

MEANS = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


def made(name, **changes):
    return server_optimizers.of_settings(settings({"a": 1}, server_optimizer=name, **changes))


def weights_after_each_round(optimizer):
    weights, state, found = np.zeros(5, np.float32), optimizer.initial_state(5), []
    for number, mean in enumerate(MEANS, start=1):
        change, state = optimizer.step(state, mean, number)
        weights = weights + change
        found.append(weights)
    return np.stack(found)


@pytest.mark.parametrize(
    ("name", "changes", "peer"),
    [
        ("sgd", {}, lambda: keras.optimizers.SGD(0.5)),
        ("sgd", {"server_momentum": 0.9}, lambda: keras.optimizers.SGD(0.5, momentum=0.9)),
        ("adam", {}, lambda: keras.optimizers.Adam(0.5, epsilon=1e-7)),
        ("adagrad", {}, lambda: keras.optimizers.Adagrad(0.5, initial_accumulator_value=0.1, epsilon=1e-7)),
    ],
)
def test_the_weights_are_those_of_keras(name, changes, peer):
    optimizer, variable, expected = peer(), keras.Variable(np.zeros(5, np.float32)), []
    for mean in MEANS:
        # The server takes the negative mean update for a gradient.
        optimizer.apply([-mean], [variable])
        expected.append(np.array(variable))
    found = weights_after_each_round(made(name, server_learning_rate=0.5, **changes))
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6)


def test_yogi_moves_its_squares_by_at_most_the_new_square():
    squares, accumulator, weights = np.full(5, 1e-6), np.zeros(5), np.zeros(5)
    expected = []
    for number, mean in enumerate(MEANS.astype(np.float64), start=1):
        accumulator = 0.9 * accumulator + 0.1 * mean
        squares = squares - 0.001 * np.sign(squares - mean**2) * mean**2
        rate = 0.5 * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        weights = weights + rate * accumulator / (np.sqrt(squares) + 1e-3)
        expected.append(weights)
    found = weights_after_each_round(made("yogi", server_learning_rate=0.5))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad", "yogi"])
def test_many_coalitions_move_as_each_does_alone(name):
    optimizer = made(name, server_momentum=0.5 if name == "sgd" else 0.0)
    _, state = optimizer.step(optimizer.initial_state(5), MEANS[0], 1)
    together, _ = optimizer.step(state, MEANS, 2)
    np.testing.assert_allclose(together, [optimizer.step(state, mean, 2)[0] for mean in MEANS], rtol=1e-6)


def test_the_schedule_changes_the_rate_of_a_round():
    schedule = {"type": "ExponentialDecay", "factor_per_round": 0.5}
    optimizer = made("sgd", server_schedule=schedule)
    changes = [optimizer.step(optimizer.initial_state(5), MEANS[0], number)[0] for number in (1, 2, 3)]
    np.testing.assert_allclose(changes[1] * 2, changes[0], rtol=1e-6)
    np.testing.assert_allclose(changes[2] * 4, changes[0], rtol=1e-6)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="server_optimizer 'lion', which this version does not know"):
        made("lion")
