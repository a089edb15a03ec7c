"""A model's signature: serialized tf.Examples or the columns of a Parquet file in, one array per output."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf
from absl import logging

from tfx_federated.beam_batch_inferrer.row_errors import MISSING_FEATURE, MODEL_ERROR, BatchError, Fault
from tfx_federated.example_shards import ShardError

# On serialized tf.Examples; on named tensors, models that have both call it as the second says.
_ON_EXAMPLES = "serving_default"
_ON_FEATURES = "features"
# The messages of tf.io.parse_example that hold names, types and sizes only. Others may quote a row.
_HARMLESS_MESSAGE = re.compile(
    r"(?P<missing>Feature: .{1,200}? is required but could not be found)"
    r"|Could not parse example input"
    r"|Key: .{1,200}? Data types don't match\. Data type: \w+ but expected type: \w+"
    r"|Key: .{1,200}? Number of \w+ values != expected\. +[Vv]alues size: ?\d+ but output shape: ?\[[\d,]*\]"
)
_NODE = re.compile(r"\[\[\{\{node ([\w./-]{1,200})\}\}\]\]")
# What a row can cause. Anything else is a fault of the machine or of the model as such.
_ERRORS_OF_ROWS = (
    tf.errors.InvalidArgumentError,
    tf.errors.OutOfRangeError,
    tf.errors.NotFoundError,
    tf.errors.DataLossError,
)


class ServingSignature:
    """A signature of a SavedModel, loaded and checked.

    Attributes:
        inputs: Type and shape of each input by name.
        input_names: Their names.
        output_names: Names of the outputs, sorted.
    """

    def __init__(self, model_path: str, input_key: str = "model", on_features: bool = False) -> None:
        """Loads the model.

        Args:
            model_path: Folder of the SavedModel.
            input_key: The component's input, for messages.
            on_features: Whether the signature is to take a tensor for each feature, in place of serialized tf.Examples.

        Raises:
            ValueError: There is no SavedModel, it has no such signature, or an output cannot be written as a column.
        """
        self._place = f"input {input_key!r}"
        if not tf.saved_model.contains_saved_model(model_path):
            raise ValueError(f"{self._place}: there is no SavedModel in {model_path}; check the Trainer's output")
        # The signature does not own the variables; the loaded object does.
        self._model = tf.saved_model.load(model_path)
        signatures = self._model.signatures
        self._name = _ON_FEATURES if on_features and _ON_FEATURES in signatures else _ON_EXAMPLES
        if self._name not in signatures:
            raise ValueError(
                f"{self._place}: the SavedModel {model_path} has no signature {self._name!r}; it has "
                f"{sorted(signatures)}. Export one that takes serialized tf.Examples"
            )
        self._signature = signatures[self._name]
        self.inputs: Mapping[str, tf.TensorSpec] = self._signature.structured_input_signature[1]
        self.input_names = sorted(self.inputs)
        self.output_names = sorted(self._signature.structured_outputs)
        self._require_inputs(on_features)
        self._require_writable()

    def require_columns(self, taken: Collection[str]) -> None:
        """Refuses outputs with the name of another column of the results.

        Raises:
            ValueError: Names the output.
        """
        for name in self.output_names:
            if name in taken:
                raise ValueError(
                    f"{self._place}: output {name!r} of signature {self._name!r} has the name of another column of the "
                    f"results; rename it to something else than {', '.join(sorted(taken))}"
                )

    def warm_up(self) -> None:
        """Calls the signature without a row, so that TensorFlow prepares it before the first batch."""
        empty = {
            name: tf.zeros([0, *(size or 0 for size in spec.shape.as_list()[1:])], spec.dtype)
            for name, spec in self.inputs.items()
            if spec.shape.rank is not None
        }
        try:
            self._signature(**empty)
        except (tf.errors.OpError, TypeError, ValueError):
            logging.info("The model cannot be called without a row; the first batch warms it up")

    def predict(self, inputs: Mapping[str, tf.Tensor], rows: int) -> dict[str, np.ndarray]:
        """Calls the signature once.

        Args:
            inputs: By input name, tensors of n rows.
            rows: n.

        Returns:
            By output name, in the order of the names, arrays of shape [n, ...].

        Raises:
            BatchError: The model refuses the rows.
            ShardError: The model cannot be run, or an output's first axis is not the batch.
        """
        try:
            outputs = self._signature(**inputs)
            arrays = {name: outputs[name].numpy() for name in self.output_names}
        except tf.errors.ResourceExhaustedError:
            raise ShardError(f"{self._place}: no memory for a batch of {rows} rows; lower batch_size") from None
        except UnicodeDecodeError:
            # TensorFlow's message quotes a row that is not UTF-8.
            raise BatchError(Fault(MODEL_ERROR, "the model refuses the row")) from None
        except _ERRORS_OF_ROWS as error:
            raise BatchError(_fault(error)) from None
        except tf.errors.OpError as error:
            raise ShardError(f"{self._place} cannot be run: {_fault(error).detail}") from None
        for name, array in arrays.items():
            if np.shape(array)[:1] != (rows,):
                raise ShardError(
                    f"output {name!r} of signature {self._name!r} has shape {list(np.shape(array))} for a batch of "
                    f"{rows} rows; its first axis must be the batch"
                )
        return arrays

    def _require_inputs(self, on_features: bool) -> None:
        takes_examples = len(self.inputs) == 1 and all(
            spec.dtype == tf.string and (spec.shape.rank is None or spec.shape.as_list() == [None])
            for spec in self.inputs.values()
        )
        described = ", ".join(f"{name}: {spec.dtype.name} {spec.shape}" for name, spec in sorted(self.inputs.items()))
        if on_features and self._name == _ON_EXAMPLES and takes_examples:
            raise ValueError(
                f"{self._place}: the examples are Parquet, and signature {_ON_EXAMPLES!r} takes ({described}), which "
                f"are serialized tf.Examples; export a signature {_ON_FEATURES!r} that takes one tensor for each "
                "feature, or let ExampleGen write tf.Examples"
            )
        ranks = [spec.shape.rank for spec in self.inputs.values()]
        if on_features and (not ranks or not all(ranks)):
            raise ValueError(
                f"{self._place}: signature {self._name!r} takes ({described}); each input must be a tensor whose first "
                "axis is the batch"
            )
        if not on_features and not takes_examples:
            raise ValueError(
                f"{self._place}: signature {self._name!r} takes ({described}); it must take one string tensor of shape "
                "[None], the serialized tf.Examples"
            )

    def _require_writable(self) -> None:
        for name, spec in self._signature.structured_outputs.items():
            standard = spec.dtype in (tf.string, tf.bool, tf.float16, tf.float32, tf.float64)
            if not standard and (not spec.dtype.is_integer or spec.dtype.is_quantized):
                raise ValueError(
                    f"{self._place}: output {name!r} of signature {self._name!r} is {spec.dtype.name}; cast it to a "
                    "float, an integer, a bool or a string"
                )


def _fault(error: tf.errors.OpError) -> Fault:
    found = _HARMLESS_MESSAGE.search(error.message)
    if found:
        return Fault(MISSING_FEATURE if found["missing"] else MODEL_ERROR, found.group())
    node = _NODE.search(error.message)
    where = f" in its operation {node.group(1)}" if node else ""
    detail = f"{type(error).__name__}{where} (TensorFlow's message is left out, as it may quote a row)"
    return Fault(MODEL_ERROR, detail)
