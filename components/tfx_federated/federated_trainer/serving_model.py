"""The SavedModel that a pipeline serves: raw rows in, predictions out, the Transform graph inside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

_ROW_LENGTHS = "_row_lengths"


def save(
    path: str, inner_path: str | os.PathLike[str], features: ModelFeatures, silo: SiloFeature | None = None
) -> None:
    """Saves a model of the TFF side behind a signature on serialized examples, and one on raw features.

    Args:
        path: Folder to write, a SavedModel with two signatures to `predictions`. `serving_default` takes `examples`, a
            string tensor of shape (batch,). `features` takes a tensor for each raw feature, see
            `ModelFeatures.tensor_specs`; it is left out where they have no such tensors.
        inner_path: SavedModel with `predict`, see `tff_runtime.prediction`.
        features: How an example becomes the model's features.
        silo: How an example's silo is read, for a model that routes by silo.
    """
    module = _ServingModel(tf.saved_model.load(os.fspath(inner_path)), features, silo)
    signatures = {"serving_default": module.serve}
    specs = features.tensor_specs()
    if specs is not None:
        signatures["features"] = module.serve_features.get_concrete_function(**specs)
    tf.saved_model.save(module, path, signatures=signatures)


class ModelFeatures(tf.Module):
    """Raw rows to features: through the Transform graph, or by the schema alone."""

    def __init__(
        self, raw_specs: Mapping[str, Any], label_key: str, transform_output: tft.TFTransformOutput | None = None
    ) -> None:
        """Prepares the conversion.

        Args:
            raw_specs: Feature spec of the raw examples.
            label_key: Name of the label, which examples to be scored do not have.
            transform_output: The Transform graph, or None if the model takes raw features.
        """
        super().__init__()
        self._raw_specs = {name: spec for name, spec in raw_specs.items() if name != label_key}
        # Kept as an attribute, so that the SavedModel holds the graph's tables.
        self._transform = transform_output.transform_features_layer() if transform_output else None

    def __call__(self, examples: tf.Tensor) -> Mapping[str, Any]:
        """Returns the features of a batch of serialized examples by name."""
        return self._transformed(tf.io.parse_example(examples, self._raw_specs))

    def tensor_specs(self) -> dict[str, tf.TensorSpec] | None:
        """Returns the tensors that `of_tensors` takes, by name.

        A feature of fixed length is one tensor, of shape (batch, *shape). One of variable length is two: its values,
        row after row, and `<name>_row_lengths`, int64 of shape (batch,). None if a feature is of another kind, or its
        name cannot be that of a signature's input.
        """
        specs = {}
        for name, spec in self._raw_specs.items():
            if not name.isidentifier():
                return None
            if isinstance(spec, tf.io.FixedLenFeature):
                specs[name] = tf.TensorSpec([None, *spec.shape], spec.dtype, name=name)
            elif isinstance(spec, tf.io.VarLenFeature):
                specs[name] = tf.TensorSpec([None], spec.dtype, name=name)
                specs[name + _ROW_LENGTHS] = tf.TensorSpec([None], tf.int64, name=name + _ROW_LENGTHS)
            else:
                return None
        return specs

    def of_tensors(self, tensors: Mapping[str, tf.Tensor]) -> Mapping[str, Any]:
        """Returns the features of a batch of raw features by name."""
        raw = {}
        for name, spec in self._raw_specs.items():
            raw[name] = tensors[name]
            if isinstance(spec, tf.io.VarLenFeature):
                lengths = tensors[name + _ROW_LENGTHS]
                raw[name] = tf.RaggedTensor.from_row_lengths(tensors[name], lengths).to_sparse()
        return self._transformed(raw)

    def _transformed(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._transform(raw) if self._transform is not None else raw


class SiloFeature:
    """The silo of each row, as SiloPartitioner read it from the same features."""

    def __init__(self, silo_key: str, silo_of_rows_without: str | None) -> None:
        """Prepares the reading.

        Args:
            silo_key: Name of the feature that holds the silo.
            silo_of_rows_without: The silo that rows without one were assigned to, if they were.
        """
        self._silo_key = silo_key
        self._silo_of_rows_without = silo_of_rows_without

    def __call__(self, features: Mapping[str, Any]) -> tf.Tensor:
        """Returns a string tensor of shape (batch,); rows without a silo have "" or the silo they were assigned to."""
        values = features[self._silo_key]
        if values.dtype != tf.string:
            values = (
                tf.sparse.map_values(tf.strings.as_string, values)
                if isinstance(values, tf.SparseTensor)
                else tf.strings.as_string(values)
            )
        if isinstance(values, tf.SparseTensor):
            values = tf.sparse.to_dense(values, default_value="")
        silos = tf.reshape(values, [tf.shape(values)[0], -1])
        # A row's one value, or nothing: the width is 0 where no row of the batch has a silo.
        silos = tf.strings.reduce_join(silos, axis=1)
        if self._silo_of_rows_without is not None:
            silos = tf.where(silos == "", self._silo_of_rows_without, silos)
        return silos


class _ServingModel(tf.Module):
    def __init__(self, inner: Any, features: ModelFeatures, silo: SiloFeature | None) -> None:
        super().__init__()
        self._inner = inner
        self._features = features
        self._silo = silo
        self._names = _input_names(inner)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._predict(self._features(examples))

    @tf.function
    def serve_features(self, **tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._predict(self._features.of_tensors(tensors))

    def _predict(self, features: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        inputs = {name: features[name] for name in self._names}
        if self._silo is None:
            return {"predictions": self._inner.predict(inputs)}
        return {"predictions": self._inner.predict(inputs, self._silo(features))}


def _input_names(inner: Any) -> list[str]:
    (signature,) = [function.structured_input_signature for function in inner.predict.concrete_functions]
    return sorted(signature[0][0])
