import re

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies
from hypothesis.extra import numpy as numpy_strategies
from scipy import stats

from tff_runtime.privacy import private_gradients as gradients_lib

SILOS, BATCH, INPUTS, OUTPUTS = 3, 5, 4, 2


SCALE = 1.5


def squared_errors(weights, non_trainable, features, labels):
    """Half the squared error of a linear model that scales its inputs: its gradients are easy to write down."""
    (scale,) = non_trainable

    def of_one_silo(arguments):
        (kernel, bias), x, y = arguments
        return tf.reduce_sum(tf.square(tf.linalg.matmul(scale * x, kernel) + bias - y), axis=1) / 2

    return tf.vectorized_map(of_one_silo, (list(weights), features["x"], labels))


def row_gradients(kernel, bias, x, y):
    error = SCALE * x @ kernel + bias - y
    return np.einsum("bi,bo->bio", SCALE * x, error), error


def problem(seed=0):
    random = np.random.default_rng(seed)
    kernel = random.normal(size=(SILOS, INPUTS, OUTPUTS)).astype(np.float32)
    bias = random.normal(size=(SILOS, OUTPUTS)).astype(np.float32)
    x = random.normal(size=(SILOS, BATCH, INPUTS)).astype(np.float32)
    y = random.normal(size=(SILOS, BATCH, OUTPUTS)).astype(np.float32)
    mask = (random.random((SILOS, BATCH)) < 0.6).astype(np.float32)
    return [kernel, bias], x, y, mask


def noise_of(silos, clip_norm=1.0, noise_multiplier=0.0, expected_batch_size=1.0, keys=None):
    ones = np.ones(silos, np.float32)
    return gradients_lib.SiloNoise(
        clip_norm=tf.constant(clip_norm),
        noise_multiplier=tf.constant(noise_multiplier * ones),
        expected_batch_size=tf.constant(expected_batch_size * ones),
        keys=tf.constant(np.arange(2 * silos, dtype=np.uint64).reshape(silos, 2) if keys is None else keys),
    )


@tf.function(jit_compile=True)
def compiled(weights, x, y, mask, noise, step):
    non_trainable = [tf.constant(SCALE)]
    return gradients_lib.private_gradients(squared_errors, weights, non_trainable, {"x": x}, y, mask, noise, step)


def values(*arguments):
    tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
    return [tensor.numpy() for tensor in compiled(*tensors)]


def test_without_noise_it_is_the_sum_of_the_clipped_gradients_of_the_rows():
    weights, x, y, mask = problem()
    clip_norm, expected_batch_sizes = 5.0, np.array([2.0, 3.0, 4.0], np.float32)
    noise = noise_of(SILOS, clip_norm, expected_batch_size=expected_batch_sizes)
    kernel, bias = values(weights, x, y, mask, noise, 0)
    all_norms = []
    for silo in range(SILOS):
        of_kernel, of_bias = row_gradients(weights[0][silo], weights[1][silo], x[silo], y[silo])
        norms = np.sqrt((of_kernel**2).sum((1, 2)) + (of_bias**2).sum(1))
        all_norms.extend(norms)
        factors = mask[silo] * np.minimum(1, clip_norm / norms) / expected_batch_sizes[silo]
        np.testing.assert_allclose(kernel[silo], np.einsum("b,bio->io", factors, of_kernel), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(bias[silo], np.einsum("b,bo->o", factors, of_bias), rtol=1e-5, atol=1e-6)
    assert min(all_norms) < clip_norm < max(all_norms), "some rows should be clipped and some not"


any_number = strategies.floats(width=32, allow_nan=True, allow_infinity=True)


@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(
    x=numpy_strategies.arrays(np.float32, (SILOS, 1, INPUTS), elements=any_number),
    y=numpy_strategies.arrays(np.float32, (SILOS, 1, OUTPUTS), elements=any_number),
)
def test_no_row_whatever_its_values_moves_the_sum_by_more_than_the_clipping_norm(x, y):
    weights, *_ = problem()
    clip_norm = 0.3
    kernel, bias = values(weights, x, y, np.ones((SILOS, 1), np.float32), noise_of(SILOS, clip_norm), 0)
    norms = np.sqrt((kernel**2).sum((1, 2)) + (bias**2).sum(1))
    # False where a norm is not a number.
    assert (norms <= clip_norm * (1 + 1e-5)).all()


def test_padding_has_no_part_even_where_its_gradient_is_not_finite():
    weights, x, y, mask = problem()
    spoiled = np.where(mask[..., np.newaxis] > 0, x, np.inf)
    for result, expected in zip(
        values(weights, spoiled, y, mask, noise_of(SILOS), 0),
        values(weights, x, y, mask, noise_of(SILOS), 0),
        strict=True,
    ):
        np.testing.assert_array_equal(result, expected)


def wide_noise(keys, step, noise_multipliers=(1.0, 1.0), clip_norm=1.0, expected_batch_size=1.0):
    """The private gradient of empty batches, which is noise alone."""
    silos = len(keys)
    weights = [np.zeros((silos, 200, 40), np.float32), np.zeros((silos, 40), np.float32)]
    x, y = np.zeros((silos, 1, 200), np.float32), np.zeros((silos, 1, 40), np.float32)
    noise = noise_of(silos, clip_norm, np.array(noise_multipliers, np.float32), expected_batch_size, keys)
    return values(weights, x, y, np.zeros((silos, 1), np.float32), noise, step)


KEYS = np.array([[3, 5], [7, 11]], np.uint64)


def test_the_noise_is_normal_with_the_stated_deviation():
    noise_multipliers, clip_norm, expected_batch_size = (0.5, 4.0), 3.0, 8.0
    kernel, _ = wide_noise(KEYS, 2, noise_multipliers, clip_norm, expected_batch_size)
    for silo, multiplier in enumerate(noise_multipliers):
        standard = kernel[silo].ravel() / (multiplier * clip_norm / expected_batch_size)
        low, high = stats.chi2.ppf([1e-6, 1 - 1e-6], standard.size)
        assert low < (standard**2).sum() < high
        assert stats.kstest(standard, "norm").pvalue > 1e-6


def test_silos_steps_and_tensors_have_independent_noise():
    first, second = wide_noise(KEYS, 0), wide_noise(KEYS, 1)
    draws = [first[0][0], first[0][1], second[0][0], second[0][1]]
    correlations = np.corrcoef([draw.ravel() for draw in draws])
    assert np.abs(correlations - np.eye(4)).max() < 6 / np.sqrt(draws[0].size)
    numbers = np.concatenate([tensor.ravel() for tensor in (*first, *second)])
    # A few of 32,160 float32 numbers may be equal, but no stretch is there twice.
    assert len(np.unique(numbers)) > 0.99 * numbers.size


@pytest.mark.parametrize("bit", [0, 31, 32, 63])
@pytest.mark.parametrize("half", [0, 1])
def test_every_bit_of_a_key_counts(bit, half):
    changed = KEYS.copy()
    changed[0, half] ^= np.uint64(1) << np.uint64(bit)
    before, after = wide_noise(KEYS, 0)[0], wide_noise(changed, 0)[0]
    assert np.abs(np.corrcoef(before[0].ravel(), after[0].ravel())[0, 1]) < 6 / np.sqrt(before[0].size)
    np.testing.assert_array_equal(before[1], after[1])


def test_keys_are_new_each_time():
    keys = np.concatenate([gradients_lib.fresh_keys(100), gradients_lib.fresh_keys(100)])
    assert keys.shape == (200, 2)
    assert len(np.unique(keys)) == 400


def test_a_silo_alone_gets_what_it_gets_among_others():
    weights, x, y, mask = problem()
    together = values(weights, x, y, mask, noise_of(SILOS, noise_multiplier=1.0), 3)
    noise = noise_of(SILOS, noise_multiplier=1.0)
    own = slice(1, 2)
    alone = noise._replace(
        noise_multiplier=noise.noise_multiplier[own],
        expected_batch_size=noise.expected_batch_size[own],
        keys=noise.keys[own],
    )
    for result, expected in zip(
        values([weight[own] for weight in weights], x[own], y[own], mask[own], alone, 3), together, strict=True
    ):
        np.testing.assert_allclose(result, expected[own], rtol=1e-5, atol=1e-6)


def test_xla_takes_every_argument_as_a_value_and_not_as_a_constant_to_compile_for():
    arguments = [*problem(), noise_of(SILOS), 0]
    tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
    compiled_code = compiled.experimental_get_compiler_ir(*tensors)("hlo")
    entry = compiled_code[compiled_code.index("ENTRY") :]
    assert len(re.findall(r" parameter\(", entry)) == len(tf.nest.flatten(tensors))


def test_the_noise_is_the_same_without_xla():
    weights, x, y, mask = problem()
    arguments = tf.nest.map_structure(
        tf.convert_to_tensor, [weights, x, y, mask, noise_of(SILOS, noise_multiplier=1.0), 3]
    )
    without_xla = tf.function(compiled.python_function)(*arguments)
    for result, expected in zip(values(*arguments), without_xla, strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
