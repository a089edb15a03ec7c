"""The values of all silos of a round brought to the server, with an axis of silos; their order is not fixed."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_federated as tff


def collect(values: Any) -> Any:
    """Returns values at the server, inside a `tff.federated_computation`.

    Args:
        values: A TFF value placed at the clients, of tensors.

    Returns:
        The same structure placed at the server, each tensor with a leading axis of silos.
    """
    one_type = values.type_signature.member
    tensor_types = tff.structure.flatten(one_type)
    many_type = tff.to_type([tff.TensorType(tensor.dtype, (None, *tensor.shape)) for tensor in tensor_types])

    @tff.tensorflow.computation
    def nothing() -> Any:
        return [tf.zeros((0, *tensor.shape), tensor.dtype) for tensor in tensor_types]

    @tff.tensorflow.computation(many_type, one_type)
    def add(many: Any, one: Any) -> Any:
        new = tff.structure.flatten(tff.structure.from_container([one], recursive=True))
        return [tf.concat([old, value[tf.newaxis]], axis=0) for old, value in zip(many, new, strict=True)]

    @tff.tensorflow.computation(many_type, many_type)
    def merge(first: Any, second: Any) -> Any:
        return [tf.concat([one, other], axis=0) for one, other in zip(first, second, strict=True)]

    @tff.tensorflow.computation(many_type)
    def pack(many: Any) -> Any:
        tensors = iter(many)
        return tff.types.structure_from_tensor_type_tree(lambda _: next(tensors), one_type)

    return tff.federated_aggregate(values, nothing(), add, merge, pack)
