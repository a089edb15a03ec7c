"""The trained model for phones and other devices: one LiteRT (TensorFlow Lite) file, checked against the SavedModel.

The file has the signature `serving_default`: one input per feature, of shape (batch, *shape), to `predictions`; a batch
may have any size. An input has the feature's name, with `_` for what TensorFlow does not allow in a name.

The features are those that the model was trained on: the Transform graph is not inside, because its operations on
strings and tables do not run on devices. Where the pipeline has one, the device has to compute what `preprocessing_fn`
computes.
"""

from __future__ import annotations

import collections
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio

from tff_runtime import job as job_lib

_CHECKED_ROWS = 256
# Of float32 with another order of additions; a wrong conversion differs by more.
_TOLERANCE = 1e-4
_SIGNATURE = "serving_default"

Features = Mapping[str, np.ndarray]


class DeviceModelError(ValueError):
    """The model cannot be converted for devices, or predicts something else there."""


def path_in(model_uri: str) -> str:
    """Returns where the file lies in a Model artifact: beside `Format-Serving`, which is all that TFX looks for."""
    return os.path.join(model_uri, "Format-TFLite", "model.tflite")


def export(inner_path: str | os.PathLike[str], directory: job_lib.JobDirectory, model_uri: str) -> None:
    """Converts a trained model, compares the predictions of both on rows of the job, and writes the file.

    Args:
        inner_path: SavedModel with `predict`, see `tff_runtime.prediction`.
        directory: The job, with its data: rows of the evaluation split, or of the training split without one.
        model_uri: URI of the Model artifact.

    Raises:
        DeviceModelError: An operation of the model is none of LiteRT's, or predictions differ; nothing is written.
    """
    model = tf.saved_model.load(os.fspath(inner_path))
    specs = _specs(model)
    content = convert(model, specs)
    require_equal_predictions(model, content, _rows(directory, specs))
    path = path_in(model_uri)
    fileio.makedirs(os.path.dirname(path))
    with fileio.open(path, "wb") as file:
        file.write(content)


def convert(model: Any, specs: Mapping[str, tf.TensorSpec]) -> bytes:
    """Returns a model with `predict(features)` as the content of a LiteRT file.

    Args:
        model: The loaded SavedModel.
        specs: Type of each feature.

    Raises:
        DeviceModelError: An operation of the model is none of LiteRT's, or two features have the same input name.
    """
    module = tf.Module()
    module.model = model
    names = _input_names(specs)
    module.serve = tf.function(
        lambda **inputs: {"predictions": model.predict({feature: inputs[name] for feature, name in names.items()})}
    )
    inputs = {name: tf.TensorSpec(specs[feature].shape, specs[feature].dtype, name) for feature, name in names.items()}
    with tempfile.TemporaryDirectory(prefix="tfx-federated-") as folder:
        tf.saved_model.save(module, folder, signatures={_SIGNATURE: module.serve.get_concrete_function(**inputs)})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[_SIGNATURE])
        try:
            return converter.convert()
        except Exception as error:
            raise DeviceModelError(
                "the model cannot be converted for devices: LiteRT does not have all of its operations; use others in "
                f"model_fn, or train without the device model. LiteRT says: {error}"
            ) from error


def require_equal_predictions(model: Any, content: bytes, features: Features) -> None:
    """Refuses a LiteRT model that predicts something else, in one batch or row by row.

    Args:
        model: The loaded SavedModel.
        content: The LiteRT file.
        features: Rows to predict, by feature.

    Raises:
        DeviceModelError: Predictions differ; the message has the largest difference.
    """
    expected = model.predict({name: tf.constant(values) for name, values in features.items()}).numpy()
    predict = _device_predict(content)
    rows = range(len(expected))
    row_by_row = [predict({name: values[row : row + 1] for name, values in features.items()}) for row in rows]
    for batch, found in (("one batch", predict(features)), ("batches of one row", np.concatenate(row_by_row))):
        scale = np.maximum(1.0, np.abs(expected))
        difference = np.where(np.isnan(expected) & np.isnan(found), 0.0, np.abs(found - expected) / scale)
        if not (difference <= _TOLERANCE).all():
            raise DeviceModelError(
                f"the model for devices predicts something else than the trained one: in {batch}, predictions differ "
                f"by up to {np.max(difference):.2g}, {_TOLERANCE:.2g} is allowed; look for operations in model_fn that "
                "depend on the batch, or train without the device model"
            )


def _device_predict(content: bytes) -> Callable[[Features], np.ndarray]:
    interpreter = tf.lite.Interpreter(model_content=content)
    runner = interpreter.get_signature_runner(_SIGNATURE)

    def predict(features: Features) -> np.ndarray:
        names = _input_names(features)
        return runner(**{names[feature]: values for feature, values in features.items()})["predictions"]

    return predict


def _input_names(features: Iterable[str]) -> dict[str, str]:
    """Returns the name of the input of each feature."""
    names = {feature: re.sub(r"[^A-Za-z0-9_]", "_", feature) for feature in features}
    names = {feature: name if name[0].isalpha() else f"feature_{name}" for feature, name in names.items()}
    if len(set(names.values())) < len(names):
        raise DeviceModelError(
            f"two features would have the same name in the model for devices: {sorted(names)}; give them names that "
            "differ in letters, digits and underscores"
        )
    return names


def _specs(model: Any) -> collections.OrderedDict[str, tf.TensorSpec]:
    (function,) = model.predict.concrete_functions
    ((features,), _) = function.structured_input_signature
    return collections.OrderedDict(sorted(features.items()))


def _rows(directory: job_lib.JobDirectory, specs: Mapping[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    """Returns rows at equal distances, so that many silos are among them."""
    job = directory.read_job()
    split = job.evaluation_split or job.train_split
    arrays = {name: np.load(directory.array(split, job.features[name]), mmap_mode="r") for name in specs}
    rows = len(next(iter(arrays.values())))
    chosen = np.unique(np.linspace(0, rows - 1, _CHECKED_ROWS).astype(np.int64))
    return {name: array[chosen] for name, array in arrays.items()}
