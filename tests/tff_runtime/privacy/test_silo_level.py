import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from scipy import stats

from tff_runtime.privacy import silo_level
from tff_runtime.settings import privacy

VALUE_TYPE = tff.to_type([tff.TensorType(np.float32, (60, 50)), tff.TensorType(np.float32, (2,))])
WEIGHT_TYPE = tff.TensorType(np.float32)


def process(noise_multiplier, silos, adaptive_quantile=None, clip_norm=1.0):
    setting = privacy.SiloLevel(1.0, 1e-5, clip_norm, adaptive_quantile)
    factory = silo_level.SiloLevelFactory(setting, silos, noise_multiplier)
    return factory.create(VALUE_TYPE, WEIGHT_TYPE)


def update(value):
    """An update of norm |value|."""
    return [np.zeros((60, 50), np.float32), np.array([value, 0.0], np.float32)]


def test_it_is_the_sum_of_the_clipped_updates_divided_by_the_planned_silos():
    private = process(0.0, silos=4, clip_norm=2.0)
    output = private.next(private.initialize(), [update(1.0), update(10.0), update(-5.0)], [1.0, 7.0, 1.0])
    np.testing.assert_allclose(output.result[1], [(1.0 + 2.0 - 2.0) / 4, 0.0], rtol=1e-6)


@pytest.mark.parametrize("spoiled", [np.nan, np.inf])
def test_a_rejected_update_is_zero_and_still_counts(spoiled):
    private = process(0.0, silos=4)
    output = private.next(private.initialize(), [update(1.0), update(0.5), update(spoiled)], [1.0, 0.0, 1.0])
    np.testing.assert_allclose(output.result[1], [1.0 / 4, 0.0], rtol=1e-6)


def test_the_noise_has_the_stated_deviation():
    private = process(3.0, silos=10, clip_norm=0.5)
    noise = private.next(private.initialize(), [update(0.0)], [1.0]).result[0]
    low, high = stats.chi2.ppf([1e-9, 1 - 1e-9], noise.size)
    assert low < (noise**2).sum() / (3.0 * 0.5 / 10) ** 2 < high


def test_a_seed_does_not_decide_the_noise():
    noises = []
    for _ in range(2):
        tf.random.set_seed(1)
        private = process(1.0, silos=1)
        noises += [private.next(private.initialize(), [update(0.0)], [1.0]).result[0] for _ in range(2)]
    correlations = np.corrcoef([noise.ravel() for noise in noises])
    assert np.abs(correlations - np.eye(4)).max() < 6 / np.sqrt(noises[0].size)


def noise_multipliers(event):
    if hasattr(event, "events"):
        return [multiplier for inner in event.events for multiplier in noise_multipliers(inner)]
    return [event.noise_multiplier]


@pytest.mark.parametrize(("noise_multiplier", "silos"), [(1.0, 100), (8.0, 100), (20.0, 5)])
def test_an_adaptive_norm_takes_its_part_of_the_budget_and_no_more(noise_multiplier, silos):
    private = process(noise_multiplier, silos, adaptive_quantile=0.5)
    state = private.next(private.initialize(), [update(0.0)], [1.0]).state
    of_values, of_count = noise_multipliers(state.dp_event)
    assert (of_values**-2 + of_count**-2) ** -0.5 == pytest.approx(noise_multiplier, rel=1e-6)
    assert of_values <= 1.155 * noise_multiplier


def test_an_adaptive_norm_follows_the_quantile_of_the_updates():
    private = process(1e-3, silos=20, adaptive_quantile=0.5, clip_norm=0.1)
    state = private.initialize()
    for _ in range(40):
        output = private.next(state, [update(value) for value in np.linspace(1, 3, 20)], [1.0] * 20)
        state = output.state
    assert output.measurements["dp_query_metrics"]["clip"] == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("adaptive_quantile", [None, 0.5])
def test_it_has_a_map_reduce_form(adaptive_quantile):
    private = process(1.0, silos=20, adaptive_quantile=adaptive_quantile)
    silo_type = tff.to_type(collections.OrderedDict(update=VALUE_TYPE, weight=WEIGHT_TYPE))
    update_of = tff.tensorflow.computation(lambda silo: silo["update"], silo_type)
    weight_of = tff.tensorflow.computation(lambda silo: silo["weight"], silo_type)

    @tff.federated_computation(private.next.type_signature.parameter[0], tff.FederatedType(silo_type, tff.CLIENTS))
    def round_of(state, silos):
        updates, weights = tff.federated_map(update_of, silos), tff.federated_map(weight_of, silos)
        output = private.next(state, updates, weights)
        return output.state, tff.federated_zip((output.result, output.measurements))

    form = tff.backends.mapreduce.get_map_reduce_form_for_computation(round_of)
    state_type = private.next.type_signature.parameter[0].member
    assert state_type.is_assignable_from(form.update.type_signature.result[0])
