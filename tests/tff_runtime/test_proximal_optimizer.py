import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime.learning import proximal_optimizer


def run(gradients, strength, start):
    """Steps of rate 0.1 from `start`, with the given gradients."""
    optimizer = proximal_optimizer.ProximalOptimizer(tff.learning.optimizers.build_sgdm(0.1), strength)
    weights = (tf.constant(start),)
    state = optimizer.initialize((tf.TensorSpec(weights[0].shape, weights[0].dtype),))
    path = []
    for gradient in gradients:
        state, weights = optimizer.next(state, weights, (gradient,))
        path.append(weights[0].numpy())
    return path


def test_steps_by_hand():
    # 1 - .1 * 2 = .8; then .8 - .1 * (2 + 5 * (.8 - 1)) = .7; then .7 - .1 * (2 + 5 * (.7 - 1)) = .65.
    path = run([tf.constant(2.0)] * 3, 5.0, 1.0)
    np.testing.assert_allclose(path, [0.8, 0.7, 0.65], rtol=1e-6)


def test_the_weights_settle_where_gradient_and_pull_balance():
    # A constant gradient g balances mu (v - w) at v = w - g / mu.
    path = run([tf.constant(2.0)] * 200, 4.0, 1.0)
    np.testing.assert_allclose(path[-1], 1.0 - 2.0 / 4.0, atol=1e-5)


def test_sparse_gradients_and_missing_ones_are_taken():
    sparse = tf.IndexedSlices(tf.constant([[2.0]]), tf.constant([1]), dense_shape=(2, 1))
    path = run([sparse, sparse], 5.0, [[1.0], [1.0]])
    np.testing.assert_allclose(path[-1], [[1.0], [0.7]], rtol=1e-6)
    assert run([None], 5.0, 1.0) == [1.0]
