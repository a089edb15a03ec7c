"""Rows of an Arrow table as serialized protocol buffers, encoded a column at a time by TensorFlow."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf import descriptor, descriptor_pb2
from tensorflow_serving.apis import prediction_log_pb2

from tfx_federated.beam_batch_inferrer.row_scoring import RECORD, SHAPE

_SIGNATURE = "serving_default"
_INPUT = "examples"
_SERVING = "tensorflow.serving."
# The field of a TensorProto that holds values of a type, and the type that this field has.
_TENSOR_FIELDS = {
    tf.float32: ("float_val", tf.float32),
    tf.float64: ("double_val", tf.float64),
    tf.int8: ("int_val", tf.int32),
    tf.int16: ("int_val", tf.int32),
    tf.int32: ("int_val", tf.int32),
    tf.uint8: ("int_val", tf.int32),
    tf.uint16: ("int_val", tf.int32),
    tf.int64: ("int64_val", tf.int64),
    tf.uint32: ("uint32_val", tf.uint32),
    tf.uint64: ("uint64_val", tf.uint64),
    tf.bool: ("bool_val", tf.bool),
    tf.string: ("string_val", tf.string),
}


def as_examples(table: pa.Table, columns: Sequence[str]) -> tf.Tensor:
    """Encodes columns as features of tf.Examples.

    Args:
        table: n rows. A null, or an empty list, becomes an absent feature; lists of lists become one list.
        columns: Names of the columns.

    Returns:
        String tensor of shape [n].
    """
    features = []
    for name in columns:
        values, lengths = _padded(table.column(name))
        if values.dtype == tf.string:
            kind, message = "bytes_list", "BytesList"
        elif values.dtype.is_floating:
            kind, message, values = "float_list", "FloatList", tf.cast(values, tf.float32)
        else:
            kind, message, values = "int64_list", "Int64List", tf.cast(values, tf.int64)
        value_list = _encode(f"tensorflow.{message}", {"value": values}, lengths)
        feature = _encode("tensorflow.Feature", {kind: value_list})
        entry = _encode("tensorflow.Features.FeatureEntry", {"key": name, "value": feature})
        features.append(_encode("tensorflow.Features", {"feature": entry}, np.minimum(lengths, 1)))
    return _encode("tensorflow.Example", {"features": tf.strings.join(features)})


def as_prediction_logs(table: pa.Table, outputs: Sequence[str]) -> tf.Tensor:
    """Encodes rows as PredictionLogs of a Predict call with this row alone, as BulkInferrer writes them.

    Args:
        table: n rows with the column `record`, the serialized tf.Example.
        outputs: Names of the columns that are outputs of the model, with their shape in the field's metadata.

    Returns:
        String tensor of shape [n].
    """
    model = _encode(_SERVING + "ModelSpec", {"signature_name": tf.fill([len(table)], _SIGNATURE)})
    records, lengths = _padded(table.column(RECORD))
    tensors = {_INPUT: _tensor(records, lengths, (1,))}
    request = _call("PredictRequest", "inputs", model, tensors)
    tensors = {
        name: _tensor(*_padded(table.column(name)), (1, *json.loads(table.schema.field(name).metadata[SHAPE])))
        for name in outputs
    }
    response = _call("PredictResponse", "outputs", model, tensors)
    log = _encode(_SERVING + "PredictLog", {"request": request, "response": response})
    return _encode(_SERVING + "PredictionLog", {"predict_log": log})


def _call(message: str, field: str, model: tf.Tensor, tensors: dict[str, tf.Tensor]) -> tf.Tensor:
    entry_type = f"{_SERVING}{message}.{field.capitalize()}Entry"
    entries = [_encode(entry_type, {"key": name, "value": tensor}) for name, tensor in tensors.items()]
    parts = [_encode(_SERVING + message, {field: entry}) for entry in entries]
    return tf.strings.join([_encode(_SERVING + message, {"model_spec": model}), *parts])


def _tensor(values: tf.Tensor, lengths: np.ndarray, shape: Sequence[int]) -> tf.Tensor:
    """Encodes each row's values as a TensorProto of the given shape."""
    field, field_type = _TENSOR_FIELDS.get(values.dtype, ("float_val", tf.float32))
    data_type = values.dtype if values.dtype in _TENSOR_FIELDS else tf.float32
    proto = tf.TensorShape(shape).as_proto().SerializeToString()
    head = {
        "dtype": tf.fill([len(lengths)], data_type.as_datatype_enum),
        "tensor_shape": tf.fill([len(lengths)], proto),
    }
    parts = [
        _encode("tensorflow.TensorProto", head),
        _encode("tensorflow.TensorProto", {field: tf.cast(values, field_type)}, lengths),
    ]
    return tf.strings.join(parts)


def _encode(message_type: str, fields: dict[str, tf.Tensor | str], lengths: np.ndarray | None = None) -> tf.Tensor:
    """Encodes n messages.

    Args:
        message_type: Full name of the message.
        fields: By name, tensors of shape [n] or [n, k], or a text that all messages have.
        lengths: How many of its k values the field, then the only one, has in each message; one of each if None.
    """
    rows = next(value.shape[0] for value in fields.values() if not isinstance(value, str))
    values = [tf.fill([rows], value) if isinstance(value, str) else value for value in fields.values()]
    sizes = np.ones([rows, len(fields)], np.int32) if lengths is None else lengths.astype(np.int32)[:, np.newaxis]
    return tf.io.encode_proto(
        sizes=sizes,
        values=[value if value.shape.rank == 2 else value[:, tf.newaxis] for value in values],
        field_names=list(fields),
        message_type=message_type,
        descriptor_source=_serving_descriptors() if message_type.startswith(_SERVING) else "local://",
    )


@functools.cache
def _serving_descriptors() -> bytes:
    """Returns the descriptors of TensorFlow Serving's messages, which TensorFlow itself does not hold."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: descriptor.FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in files:
            files[file.name] = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(files[file.name])

    add(prediction_log_pb2.PredictionLog.DESCRIPTOR.file)
    return b"bytes://" + descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString()


def _padded(column: pa.ChunkedArray) -> tuple[tf.Tensor, np.ndarray]:
    """Returns a column's values, of shape [n, k], and how many of the k each row has; the rest is padding."""
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    offsets = np.arange(len(array) + 1)
    is_list = False
    while pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        offsets, array, is_list = array.offsets.to_numpy()[offsets], array.values, True
    if not is_list and array.null_count:
        offsets = np.concatenate([[0], np.cumsum(array.is_valid().to_numpy(zero_copy_only=False))])
        array = array.drop_null()
    lengths = np.diff(offsets)
    flat = _as_tensor(array.slice(offsets[0], offsets[-1] - offsets[0]))
    if len(lengths) and lengths.min() == lengths.max() > 0:
        return tf.reshape(flat, [len(lengths), lengths[0]]), lengths
    return tf.RaggedTensor.from_row_lengths(flat, lengths).to_tensor(shape=[len(lengths), None]), lengths


def _as_tensor(values: pa.Array) -> tf.Tensor:
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return tf.constant(values.to_numpy(zero_copy_only=False))
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind)):
        # Dates and the like have no type of their own in these messages.
        values = values.cast(pa.string())
    return tf.constant(values.to_numpy(zero_copy_only=False), tf.string)
