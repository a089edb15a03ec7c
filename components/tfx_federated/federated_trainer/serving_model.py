"""The SavedModel that a pipeline serves: serialized raw tf.Examples in, predictions out, the Transform graph inside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft


def save(
    path: str, inner_path: str | os.PathLike[str], features: ModelFeatures, silo: SiloFeature | None = None
) -> None:
    """Saves a model of the TFF side behind a signature on serialized examples.

    Args:
        path: Folder to write, a SavedModel with the signature `serving_default`: `examples`, a string tensor of shape
            (batch,), to `predictions`.
        inner_path: SavedModel with `predict`, see `tff_runtime.prediction`.
        features: How an example becomes the model's features.
        silo: How an example's silo is read, for a model that routes by silo.
    """
    tf.saved_model.save(
        module := _ServingModel(tf.saved_model.load(os.fspath(inner_path)), features, silo),
        path,
        signatures={"serving_default": module.serve},
    )


class ModelFeatures(tf.Module):
    """Serialized raw examples to features: through the Transform graph, or by the schema alone."""

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
        raw = tf.io.parse_example(examples, self._raw_specs)
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
        features = self._features(examples)
        inputs = {name: features[name] for name in self._names}
        if self._silo is None:
            return {"predictions": self._inner.predict(inputs)}
        return {"predictions": self._inner.predict(inputs, self._silo(features))}


def _input_names(inner: Any) -> list[str]:
    (signature,) = [function.structured_input_signature for function in inner.predict.concrete_functions]
    return sorted(signature[0][0])
