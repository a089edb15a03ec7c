"""Runs the models' signatures on the rows, for TFMA.

TFMA's own extractor logs and raises whole rows when a model fails on them. This one names features only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import tensorflow as tf
from tensorflow.python.saved_model import loader_impl
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.api import types as tfma_types
from tensorflow_model_analysis.extractors import extractor, predictions_extractor
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util

from tfx_federated.fairness_evaluator import evaluation_config
from tfx_federated.fairness_evaluator.checked_examples import EvaluationInputError
from tfx_federated.silo_key import silo_of_example

Prediction = np.ndarray | dict[str, np.ndarray]

_NAMES_IN_MESSAGE = 10

# They have no prediction for rows of silos that they do not know.
MODELS_OF_SILOS = (evaluation_config.LOCAL_MODELS, evaluation_config.SILO_MODELS)

# What TensorFlow's parser of tf.Examples says, without the values that it may quote.
_PARSER_ERRORS = (
    re.compile(r"Feature: (?P<feature>.+?) \(data type: (?P<type>\w+)\) is required but could not be found"),
    re.compile(r"Key: (?P<feature>.+?)[,.] .*?Data types don't match"),
    re.compile(r"Key: (?P<feature>.+?)[,.] .*?Number of \w+ values != expected"),
)


def require_signature(model_path: str, model: str, signature_name: str) -> None:
    """Refuses a model that cannot be run on serialized examples.

    Args:
        model_path: Folder of the SavedModel.
        model: What to call the model in the message.
        signature_name: Name of the signature: one input, a 1-D string tensor of serialized tf.Examples.

    Raises:
        ValueError: There is no SavedModel, it lacks the signature, or the signature takes something else.
    """
    try:
        saved_model = loader_impl.parse_saved_model(model_path)
    except OSError:
        raise ValueError(f"{model}: there is no SavedModel at {model_path}; run its trainer again") from None
    signatures = {name: value for graph in saved_model.meta_graphs for name, value in graph.signature_def.items()}
    if signature_name not in signatures:
        known = sorted(name for name in signatures if not name.startswith("__"))
        raise ValueError(
            f"{model}: the SavedModel at {model_path} has no signature {signature_name!r}, only {known}: name one of "
            "these in eval_config's model_specs, or export the signature"
        )
    inputs = list(signatures[signature_name].inputs.values())
    if len(inputs) != 1 or inputs[0].dtype != tf.string.as_datatype_enum:
        raise ValueError(
            f"{model}: signature {signature_name!r} must take one string tensor of serialized tf.Examples; it takes "
            f"{len(inputs)} inputs of types {[tf.dtypes.as_dtype(value.dtype).name for value in inputs]}"
        )


def is_one_number_a_row(model_path: str, signature_name: str) -> bool:
    """Returns whether a signature that `require_signature` has passed has one output, of one number for each row."""
    saved_model = loader_impl.parse_saved_model(model_path)
    signatures = {name: value for graph in saved_model.meta_graphs for name, value in graph.signature_def.items()}
    outputs = list(signatures[signature_name].outputs.values())
    if len(outputs) != 1 or outputs[0].tensor_shape.unknown_rank:
        return False
    return all(size.size == 1 for size in outputs[0].tensor_shape.dim[1:])


def predictions_of_signatures(
    eval_config: config_pb2.EvalConfig, eval_shared_models: list[tfma_types.EvalSharedModel], silo_key: str
) -> extractor.Extractor:
    """Returns a TFMA extractor that adds each model's predictions to the batches of rows.

    Args:
        eval_config: Completed configuration; its model names are those of the models.
        eval_shared_models: The models, at least one.
        silo_key: Name of the feature that holds the silo, to name silos in an error.
    """
    signatures = {
        spec.name if len(eval_config.model_specs) > 1 else "": spec.signature_name for spec in eval_config.model_specs
    }
    loaders = {model.model_name: model.model_loader for model in eval_shared_models}
    return extractor.Extractor(
        stage_name=predictions_extractor.PREDICTIONS_EXTRACTOR_STAGE_NAME,
        ptransform=beam.ParDo(_Predict(loaders, signatures, silo_key)),
    )


class _Predict(model_util.DoFnWithModels):
    def __init__(
        self, model_loaders: dict[str, tfma_types.ModelLoader], signatures: dict[str, str], silo_key: str
    ) -> None:
        super().__init__(model_loaders)
        self._signatures = signatures
        self._silo_key = silo_key

    def process(self, extracts: tfma_types.Extracts) -> Iterator[tfma_types.Extracts]:
        rows = np.asarray(extracts[constants.INPUT_KEY]).reshape(-1)
        predictions = {
            name: _predict(self._loaded_models[name].signatures[signature], rows, name or "the model")
            for name, signature in self._signatures.items()
        }
        for name, prediction in predictions.items():
            if name not in MODELS_OF_SILOS:
                _require_defined(prediction, rows, name or "the model", self._silo_key)
        result = next(iter(predictions.values())) if len(predictions) == 1 else predictions
        yield {**extracts, constants.PREDICTIONS_KEY: result}


def _predict(signature: tf.types.experimental.ConcreteFunction, rows: np.ndarray, model: str) -> Prediction:
    try:
        outputs = signature(tf.constant(rows, dtype=tf.string))
    except tf.errors.OpError as error:
        raise EvaluationInputError(f"{model}: {_explain(error)}") from None
    arrays = {name: tf.convert_to_tensor(value).numpy() for name, value in outputs.items()}
    for name, array in arrays.items():
        if array.shape[:1] != rows.shape:
            raise EvaluationInputError(
                f"{model}: output {name!r} has shape {array.shape} for {len(rows)} rows; expected one prediction a row"
            )
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def _require_defined(prediction: Prediction, rows: np.ndarray, model: str, silo_key: str) -> None:
    # TFMA's metrics either crash on NaN, showing the row, or count it as a low prediction.
    defined = np.ones(len(rows), dtype=bool)
    for array in prediction.values() if isinstance(prediction, dict) else [prediction]:
        if np.issubdtype(array.dtype, np.floating):
            defined &= np.isfinite(array).reshape(len(rows), -1).all(axis=1)
    if defined.all():
        return
    silos = {silo_of_example(tf.train.Example.FromString(row), silo_key) for row in rows[~defined]}
    named = sorted(repr(silo) for silo in silos if silo is not None)[:_NAMES_IN_MESSAGE]
    raise EvaluationInputError(
        f"{model} predicts NaN or infinity for {int(np.sum(~defined))} of the {len(rows)} rows of a batch, of these "
        f"silos: {', '.join(named) or 'none'}; such a model cannot be judged: train it again with a lower learning "
        "rate, or check these silos' features"
    )


def _explain(error: tf.errors.OpError) -> str:
    for pattern in _PARSER_ERRORS:
        match = pattern.search(error.message)
        if match:
            short = "is required but missing" if "type" in pattern.groupindex else "has another type or length"
            return (
                f"feature {match['feature']!r} {short} in some rows; the model and the examples do not match: give "
                "the raw examples that its trainer was given"
            )
    return f"its signature failed on the rows ({type(error).__name__}); the model and the examples do not match"
