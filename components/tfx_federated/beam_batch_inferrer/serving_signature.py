"""The model's signature: serialized tf.Examples in, one array per output."""

from __future__ import annotations

import re

import numpy as np
import tensorflow as tf

from tfx_federated.beam_batch_inferrer.rows import RESERVED_COLUMNS
from tfx_federated.example_shards import ShardError

_SIGNATURE = "serving_default"
# The messages of tf.io.parse_example that hold names, types and sizes only. Others may quote a row.
_HARMLESS_MESSAGE = re.compile(
    r"Feature: .{1,200}? is required but could not be found"
    r"|Key: .{1,200}? Data types don't match\. Data type: \w+ but expected type: \w+"
    r"|Key: .{1,200}? Number of \w+ values != expected\. +[Vv]alues size: ?\d+ but output shape: ?\[[\d,]*\]"
)
_NODE = re.compile(r"\[\[\{\{node ([\w./-]{1,200})\}\}\]\]")


class ServingSignature:
    """A SavedModel's `serving_default`, loaded and checked."""

    def __init__(self, model_path: str) -> None:
        """Loads the model.

        Args:
            model_path: Folder of the SavedModel.

        Raises:
            ValueError: There is no SavedModel, it has no `serving_default`, the signature does not take exactly one
                1-D string tensor of any length, or an output cannot be written as a column.
        """
        if not tf.saved_model.contains_saved_model(model_path):
            raise ValueError(f"input 'model': there is no SavedModel in {model_path}; check the Trainer's output")
        # The signature does not own the variables; the loaded object does.
        self._model = tf.saved_model.load(model_path)
        if _SIGNATURE not in self._model.signatures:
            raise ValueError(
                f"input 'model': the SavedModel {model_path} has no signature {_SIGNATURE!r}; it has "
                f"{sorted(self._model.signatures)}. Export one that takes serialized tf.Examples"
            )
        self._signature = self._model.signatures[_SIGNATURE]
        self._input_name = _single_string_input(self._signature.structured_input_signature[1])
        _require_writable(self._signature.structured_outputs)

    def predict(self, serialized: tf.Tensor) -> dict[str, np.ndarray]:
        """Calls the signature once.

        Args:
            serialized: String tensor of shape [n], serialized tf.Examples.

        Returns:
            By output name, in the order of the names, arrays of shape [n, ...].

        Raises:
            ShardError: The model does not take these rows, or an output's first axis is not the batch.
        """
        try:
            outputs = self._signature(**{self._input_name: serialized})
        except tf.errors.OpError as error:
            raise ShardError(f"the model does not take these examples: {_explanation(error)}") from None
        arrays = {name: outputs[name].numpy() for name in sorted(outputs)}
        for name, array in arrays.items():
            if np.shape(array)[:1] != (len(serialized),):
                raise ShardError(
                    f"output {name!r} of signature {_SIGNATURE!r} has shape {list(np.shape(array))} for a batch of "
                    f"{len(serialized)} rows; its first axis must be the batch"
                )
        return arrays


def _single_string_input(inputs: dict[str, tf.TensorSpec]) -> str:
    described = ", ".join(f"{name}: {spec.dtype.name} {spec.shape}" for name, spec in sorted(inputs.items()))
    takes_examples = len(inputs) == 1 and all(
        spec.dtype == tf.string and (spec.shape.rank is None or spec.shape.as_list() == [None])
        for spec in inputs.values()
    )
    if not takes_examples:
        raise ValueError(
            f"input 'model': signature {_SIGNATURE!r} takes ({described}); it must take one string tensor of shape "
            "[None], the serialized tf.Examples"
        )
    return next(iter(inputs))


def _require_writable(outputs: dict[str, tf.TensorSpec]) -> None:
    for name, spec in outputs.items():
        if name in RESERVED_COLUMNS:
            raise ValueError(
                f"input 'model': output {name!r} of signature {_SIGNATURE!r} has the name of a column of the results; "
                f"rename it to something else than {', '.join(RESERVED_COLUMNS)}"
            )
        standard = spec.dtype in (tf.string, tf.bool, tf.float16, tf.float32, tf.float64)
        if not standard and (not spec.dtype.is_integer or spec.dtype.is_quantized):
            raise ValueError(
                f"input 'model': output {name!r} of signature {_SIGNATURE!r} is {spec.dtype.name}; cast it to a float, "
                "an integer, a bool or a string"
            )


def _explanation(error: tf.errors.OpError) -> str:
    found = _HARMLESS_MESSAGE.search(error.message)
    if found:
        return found.group()
    node = _NODE.search(error.message)
    where = f" in its operation {node.group(1)}" if node else ""
    return f"{type(error).__name__}{where} (TensorFlow's message is left out, as it may quote a row)"
