"""The models of an evaluation: the candidate and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tfx_federated.fairness_evaluator import evaluation_config, predictions

MODEL_KEY = "model"
BASELINE_MODEL_KEY = "baseline_model"
OWN_MODELS = (evaluation_config.LOCAL_MODELS, evaluation_config.SILO_MODELS)


def load(
    eval_config: config_pb2.EvalConfig, input_dict: Mapping[str, list[types.Artifact]]
) -> list[tfma.EvalSharedModel]:
    """Returns the models of a completed configuration, in its order.

    Args:
        eval_config: The configuration.
        input_dict: The component's inputs.

    Raises:
        ValueError: A model cannot be run on serialized examples.
    """
    models = []
    for spec in eval_config.model_specs:
        key = _input_key(spec.name)
        path = _saved_model_path(artifact_utils.get_single_instance(input_dict[key]), key)
        predictions.require_signature(path, key, spec.signature_name)
        models.append(
            tfma.default_eval_shared_model(eval_saved_model_path=path, model_name=spec.name, eval_config=eval_config)
        )
    return models


def _input_key(model_name: str) -> str:
    if model_name in OWN_MODELS:
        return model_name
    return BASELINE_MODEL_KEY if model_name == evaluation_config.BASELINE else MODEL_KEY


def _saved_model_path(artifact: types.Artifact, key: str) -> str:
    if key in OWN_MODELS:
        return path_utils.serving_model_path(artifact.uri)
    return path_utils.serving_model_path(artifact.uri, path_utils.is_old_model_artifact(artifact))
