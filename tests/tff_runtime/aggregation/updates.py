"""Silos' updates for tests, and the aggregation of them in TFF's native runtime."""

import numpy as np
import tensorflow_federated as tff
from hypothesis import strategies as st

from tff_runtime.aggregation import aggregator

# A model of two tensors, six numbers in all.
VALUE_TYPE = tff.to_type([tff.TensorType(np.float32, (2, 2)), tff.TensorType(np.float32, (2,))])
WEIGHT_TYPE = tff.TensorType(np.float32)


def random_updates(silos, seed=0):
    """Returns the updates as one matrix [silos, 6]."""
    return np.random.default_rng(seed).normal(size=(silos, 6)).astype(np.float32)


def as_tensors(vector):
    return [vector[:4].reshape(2, 2), vector[4:]]


def as_vector(tensors):
    return np.concatenate([np.reshape(tensor, -1) for tensor in tensors])


def aggregate(setting, updates, weights):
    """Returns the aggregated update as a vector, and the measurements."""
    process = aggregator.build(setting).create(VALUE_TYPE, WEIGHT_TYPE)
    output = process.next(process.initialize(), [as_tensors(row) for row in updates], [np.float32(w) for w in weights])
    return as_vector(output.result), output.measurements


@st.composite
def attacked_updates(draw):
    """Draws 5 to 9 honest updates [n, 3] with coordinates in [-1, 1], and one that is far away from them."""
    coordinate = st.floats(-1, 1, width=32)
    honest = draw(st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=5, max_size=9))
    size = draw(st.floats(1e3, 1e30))
    direction = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    return np.array(honest, np.float32), np.array(direction, np.float32) * np.float32(size)
