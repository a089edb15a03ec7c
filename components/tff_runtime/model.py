"""What a user's module file hands to the federated trainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """One dense feature as the model receives it.

    Attributes:
        dtype: `float32` or `int64`.
        shape: Shape of one row, without the batch axis; `()` for a scalar.
    """

    dtype: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class ModelArguments:
    """What `model_fn` is told, in the place of TFX's `FnArgs`.

    Attributes:
        features: Every dense numeric feature of the silo examples by name, label and silo key left out.
        label_key: Name of the label feature.
        custom_config: The component's `custom_config`, as given by the pipeline.
    """

    features: Mapping[str, FeatureSpec]
    label_key: str
    custom_config: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class FederatedModel:
    """A Keras model with what the clients minimise and what is measured on each silo.

    A module file defines `model_fn(arguments: ModelArguments) -> FederatedModel`. It is called several times and must
    build a new model each time.

    Attributes:
        keras_model: An uncompiled `tf.keras.Model` (TensorFlow 2.14). Its inputs are named after the features that it
            takes, and it has one output.
        loss: A `tf.keras.losses.Loss` of (label, output), the mean over a batch.
        metrics: Functions without arguments, each making a new `tf.keras.metrics.Metric`, for example
            `tf.keras.metrics.AUC` or a lambda.
    """

    keras_model: Any
    loss: Any
    metrics: Sequence[Callable[[], Any]] = ()
