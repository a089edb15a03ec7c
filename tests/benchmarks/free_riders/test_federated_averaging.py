import numpy as np
import pytest
import tensorflow as tf

from benchmarks.data import tables
from benchmarks.free_riders import federated_averaging

SETTINGS = federated_averaging.Settings(rounds=2, batch_size=8, hidden_units=4)


def _silos():
    generator = np.random.default_rng(0)
    return [
        tables.SiloRows(
            f"silo {rows}",
            generator.normal(size=(rows, 5)).astype(np.float32),
            generator.integers(0, 2, rows).astype(np.float32),
        )
        for rows in (8, 24)
    ]


def test_a_local_epoch_is_that_of_keras():
    silo = _silos()[1]
    network = federated_averaging.Network(5, 4)
    weights = network.initial_weights(np.random.default_rng(1))
    model = tf.keras.Sequential([tf.keras.layers.Dense(4, activation="relu"), tf.keras.layers.Dense(1)])
    model.build((None, 5))
    ends = np.cumsum([np.prod(shape) for shape in network.shapes.values()])[:-1]
    parts = np.split(weights, ends)
    model.set_weights([part.reshape(shape) for part, shape in zip(parts, network.shapes.values(), strict=True)])
    model.compile(tf.keras.optimizers.SGD(0.1), tf.keras.losses.BinaryCrossentropy(from_logits=True))
    order = np.random.default_rng(2).permutation(24)

    trained = network.train(weights, silo, SETTINGS, np.random.default_rng(2))
    model.fit(silo.features[order], silo.labels[order], batch_size=8, shuffle=False, verbose=0)

    np.testing.assert_allclose(trained, np.concatenate([part.ravel() for part in model.get_weights()]), atol=1e-6)
    expected = model.evaluate(silo.features, silo.labels, verbose=0)
    assert network.loss(trained, silo) == pytest.approx(expected, abs=1e-6)


def test_the_global_model_moves_by_the_mean_of_the_updates_weighted_by_rows():
    run = federated_averaging.train(_silos(), SETTINGS, seed=3)
    first, second = run.rounds
    mean = (8 * first.updates[0] + 24 * first.updates[1]) / 32
    np.testing.assert_allclose(second.global_weights, first.global_weights + mean, atol=1e-6)
    np.testing.assert_allclose(run.aggregate(0), mean, atol=1e-6)


def test_a_liar_sends_what_it_likes_and_claims_honest_losses():
    def lie(number, now, before, update):
        assert (before is None) == (number == 0)
        return 0 * update + number

    honest = federated_averaging.train(_silos(), SETTINGS, seed=3)
    run = federated_averaging.train(_silos(), SETTINGS, seed=3, lies={"silo 8": lie})
    assert [float(turn.updates[0].max()) for turn in run.rounds] == [0.0, 1.0]
    assert run.rounds[0].loss_after.tolist() == honest.rounds[0].loss_after.tolist()
