"""Which features of the silo examples a model may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

_DTYPES = (tf.float32, tf.int64)


class FeatureError(ValueError):
    """The features of the silo examples are not what a training needs."""


def dense_numeric(specs: Mapping[str, Any], silo_key: str, label_key: str) -> dict[str, tf.io.FixedLenFeature]:
    """Returns the features that a model may take: dense numbers, label and silo key left out.

    Args:
        specs: The feature spec of the silo examples, from the Transform graph or the schema.
        silo_key: Name of the silo feature.
        label_key: Name of the label.

    Raises:
        FeatureError: There is none.
    """
    features = {
        name: spec
        for name, spec in specs.items()
        if name not in (silo_key, label_key) and isinstance(spec, tf.io.FixedLenFeature) and spec.dtype in _DTYPES
    }
    if not features:
        raise FeatureError(
            f"no feature of the silo examples is a dense number; there are {sorted(specs)}. Make dense float "
            f"or integer "
            "features in preprocessing_fn"
        )
    return features


def label(specs: Mapping[str, Any], label_key: str) -> tf.io.FixedLenFeature:
    """Returns the spec of the label.

    Args:
        specs: The feature spec of the silo examples.
        label_key: Name of the label.

    Raises:
        FeatureError: The label is missing, not numeric or not dense.
    """
    if label_key not in specs:
        raise FeatureError(f"label {label_key!r} is not in the silo examples; there are {sorted(specs)}")
    spec = specs[label_key]
    if spec.dtype not in _DTYPES:
        raise FeatureError(
            f"label {label_key!r} is not numeric but {spec.dtype.name}; turn it into an integer or a float in "
            f"preprocessing_fn"
        )
    if not isinstance(spec, tf.io.FixedLenFeature):
        raise FeatureError(
            f"label {label_key!r} is not in every row, or has not one value in each (it is a "
            f"{type(spec).__name__}); fill it, "
            "or leave those rows out before SiloPartitioner"
        )
    return spec
