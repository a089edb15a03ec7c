import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from tests.tff_runtime.aggregation import updates as updates_lib
from tff_runtime.aggregation import aggregator
from tff_runtime.contexts import map_reduce
from tff_runtime.settings import aggregations

WEIGHTS_TYPE = tff.to_type(tff.learning.models.ModelWeights(trainable=updates_lib.VALUE_TYPE, non_trainable=()))
SETTINGS = [
    aggregations.Mean(),
    aggregations.Median(),
    aggregations.TrimmedMean(0.2),
    aggregations.GeometricMedian(),
    aggregations.MultiKrum(byzantine=1),
    aggregations.Clipping(),
    aggregations.Clipping(aggregations.Median()),
    aggregations.Clipping(aggregations.MultiKrum(byzantine=2), learning_rate=0),
    aggregations.Zeroing(aggregations.Clipping(aggregations.GeometricMedian())),
]


def server_side(factory):
    """Returns the server's part of federated learning, Adam as its optimizer: initialize, and the next computation."""
    aggregation = factory.create(updates_lib.VALUE_TYPE, updates_lib.WEIGHT_TYPE)
    finalizer = tff.learning.templates.build_apply_optimizer_finalizer(
        tff.learning.optimizers.build_adam(0.1), WEIGHTS_TYPE
    )

    @tff.tensorflow.computation
    def initial_weights():
        return tff.learning.models.ModelWeights([tf.ones((2, 2)), tf.zeros((2,))], ())

    @tff.federated_computation
    def initialize():
        return tff.federated_zip(
            collections.OrderedDict(
                weights=tff.federated_eval(initial_weights, tff.SERVER),
                finalizer=finalizer.initialize(),
                aggregator=aggregation.initialize(),
            )
        )

    @tff.federated_computation(
        initialize.type_signature.result,
        tff.FederatedType(updates_lib.VALUE_TYPE, tff.CLIENTS),
        tff.FederatedType(updates_lib.WEIGHT_TYPE, tff.CLIENTS),
    )
    def next_round(state, updates, weights):
        aggregated = aggregation.next(state["aggregator"], updates, weights)
        finalized = finalizer.next(state["finalizer"], state["weights"], aggregated.result)
        new_state = collections.OrderedDict(
            weights=finalized.result, finalizer=finalized.state, aggregator=aggregated.state
        )
        return tff.federated_zip(new_state), tff.federated_zip((aggregated.result, aggregated.measurements))

    return initialize, next_round


def stacked(updates):
    return [updates[:, :4].reshape(-1, 2, 2), updates[:, 4:]]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_equals_the_native_runtime_over_rounds(setting):
    initialize, next_round = server_side(aggregator.build(setting))
    in_process = map_reduce.MapReduce(next_round)
    state, native_state = map_reduce.initial_state(initialize), initialize()
    for round_number in range(3):
        updates = updates_lib.random_updates(9, seed=round_number)
        weights = np.arange(9, dtype=np.float32)
        state, output = in_process.run(state, stacked(updates), weights)
        native_state, native_output = next_round(
            native_state, [updates_lib.as_tensors(row) for row in updates], list(weights)
        )
        tf.nest.assert_same_structure(state, native_state)
        tf.nest.assert_same_structure(output, native_output)
        for ours, theirs in zip(
            tf.nest.flatten((state, output)), tf.nest.flatten((native_state, native_output)), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("setting", [aggregations.Mean(), aggregations.Clipping(aggregations.Median())], ids=str)
def test_silos_may_arrive_in_groups(setting):
    initialize, next_round = server_side(aggregator.build(setting))
    in_process = map_reduce.MapReduce(next_round)
    state = map_reduce.initial_state(initialize)
    updates, weights = updates_lib.random_updates(10), np.arange(10, dtype=np.float32)
    accumulator = in_process.begin(state)
    for group in np.split(np.arange(10), [1, 1, 7]):
        accumulator = in_process.accumulate(accumulator, stacked(updates[group]), weights[group])
    _, (result, _) = in_process.finish(state, accumulator)
    _, (at_once, _) = in_process.run(state, stacked(updates), weights)
    np.testing.assert_allclose(updates_lib.as_vector(result), updates_lib.as_vector(at_once), rtol=1e-5, atol=1e-7)


def test_a_round_without_silos_gives_a_zero_update():
    initialize, next_round = server_side(aggregator.build(aggregations.Mean()))
    in_process = map_reduce.MapReduce(next_round)
    state = map_reduce.initial_state(initialize)
    _, (result, _) = in_process.finish(state, in_process.begin(state))
    np.testing.assert_array_equal(updates_lib.as_vector(result), np.zeros(6))


def test_an_error_of_the_computation_reaches_the_caller():
    initialize, next_round = server_side(aggregator.build(aggregations.MultiKrum(byzantine=2)))
    in_process = map_reduce.MapReduce(next_round)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"byzantine = 2 needs at least 7 silos"):
        in_process.run(map_reduce.initial_state(initialize), stacked(updates_lib.random_updates(3)), np.ones(3))


def test_client_values_of_different_length_are_refused():
    initialize, next_round = server_side(aggregator.build(aggregations.Mean()))
    in_process = map_reduce.MapReduce(next_round)
    with pytest.raises(tf.errors.InvalidArgumentError, match="differ in their number of silos"):
        in_process.run(map_reduce.initial_state(initialize), stacked(updates_lib.random_updates(3)), np.ones(4))


def test_random_numbers_are_drawn_anew_for_every_silo_and_call():
    @tff.tensorflow.computation(np.float32)
    def add_noise(value):
        return value + tf.random.normal(())

    @tff.federated_computation(tff.FederatedType((), tff.SERVER), tff.FederatedType(np.float32, tff.CLIENTS))
    def noisy_sum(state, values):
        at_silos = tff.federated_map(add_noise, values)
        at_server = tff.federated_map(add_noise, tff.federated_sum(values))
        return state, tff.federated_zip((tff.federated_sum(at_silos), at_server))

    in_process = map_reduce.MapReduce(noisy_sum)
    drawn = np.array([in_process.run((), np.zeros(100, np.float32))[1] for _ in range(200)])
    # The sum of 100 silos' own draws has the variance 100; of one draw that all share it would have 10,000.
    np.testing.assert_allclose(drawn.std(axis=0), [10, 1], rtol=0.3)


def test_the_noise_of_differential_privacy_is_fresh():
    factory = tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(
        noise_multiplier=1.0, clients_per_round=2, clip=1.0
    )
    process = factory.create(tff.TensorType(np.float32, (1000,)))

    @tff.federated_computation(process.next.type_signature.parameter[0], process.next.type_signature.parameter[1])
    def private_mean(state, updates):
        output = process.next(state, updates)
        return output.state, output.result

    in_process = map_reduce.MapReduce(private_mean)
    state = map_reduce.initial_state(process.initialize)
    _, first = in_process.run(state, np.zeros((2, 1000), np.float32))
    _, second = in_process.run(state, np.zeros((2, 1000), np.float32))
    # A noise of 1 on the sum of two silos.
    np.testing.assert_allclose([np.std(first), np.std(second)], [0.5, 0.5], rtol=0.2)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


def test_secure_sums_are_refused():
    @tff.federated_computation(tff.FederatedType((), tff.SERVER), tff.FederatedType(np.int32, tff.CLIENTS))
    def secure_sum(state, values):
        return state, tff.federated_secure_sum(values, 10)

    with pytest.raises(ValueError, match="secure sum"):
        map_reduce.MapReduce(secure_sum)


def test_variables_are_refused():
    @tff.tensorflow.computation(np.float32)
    def add_variable(value):
        return value + tf.Variable(1.0)

    @tff.federated_computation(tff.FederatedType((), tff.SERVER), tff.FederatedType(np.float32, tff.CLIENTS))
    def sum_with_variable(state, values):
        return state, tff.federated_sum(tff.federated_map(add_variable, values))

    with pytest.raises(ValueError, match="variables"):
        map_reduce.MapReduce(sum_with_variable)
