"""Loads a user's module file and makes its model."""

from __future__ import annotations

import importlib.util
import pathlib
import traceback
from collections.abc import Callable

import tensorflow as tf

from tff_runtime import job as job_lib
from tff_runtime import model as model_lib

MODEL_FUNCTION = "model_fn"


def load_model_function(path: pathlib.Path, job: job_lib.TrainingJob) -> Callable[[], model_lib.FederatedModel]:
    """Returns a function that makes the user's model, a new one at each call.

    Args:
        path: The module file.
        job: The job, for the arguments of the user's function.

    Returns:
        A function without arguments. What it returns has been checked.

    Raises:
        JobError: The file cannot be imported here, has no `model_fn`, or the function raises or returns something
            else than a `FederatedModel` that fits the job's features. The user's traceback is part of the message.
    """
    spec = importlib.util.spec_from_file_location("user_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise job_lib.JobError(
            "ModuleFile",
            "the module file cannot be imported by the TFF interpreter, which has TensorFlow "
            f"{tf.__version__} and no TFX: import what only TFX has inside preprocessing_fn.\n{traceback.format_exc()}",
        ) from error
    function = getattr(module, MODEL_FUNCTION, None)
    if not callable(function):
        raise job_lib.JobError(
            "ModuleFile",
            f"the module file defines no function {MODEL_FUNCTION!r}; add one that takes tff_runtime.model."
            "ModelArguments and returns a tff_runtime.model.FederatedModel",
        )
    arguments = model_lib.ModelArguments(
        features={name: model_lib.FeatureSpec(stored.dtype, stored.shape) for name, stored in job.features.items()},
        label_key=job.label_key,
        custom_config=job.custom_config,
    )

    def make_model() -> model_lib.FederatedModel:
        try:
            model = function(arguments)
        except Exception as error:
            raise job_lib.JobError("ModuleFile", f"{MODEL_FUNCTION} raised\n{traceback.format_exc()}") from error
        _check_model(model, job)
        return model

    return make_model


def _check_model(model: model_lib.FederatedModel, job: job_lib.TrainingJob) -> None:
    if not isinstance(model, model_lib.FederatedModel):
        raise job_lib.JobError(
            "ModuleFile",
            f"{MODEL_FUNCTION} returned a {type(model).__name__}, expected tff_runtime.model.FederatedModel",
        )
    if not isinstance(model.keras_model, tf.keras.Model) or not hasattr(model.keras_model, "input_names"):
        raise job_lib.JobError(
            "ModuleFile",
            f"{MODEL_FUNCTION}: keras_model must be a functional or Sequential tf.keras.Model with named "
            f"inputs, it is a "
            f"{type(model.keras_model).__name__}",
        )
    if not isinstance(model.loss, tf.keras.losses.Loss):
        raise job_lib.JobError(
            "ModuleFile",
            f"{MODEL_FUNCTION}: loss must be a tf.keras.losses.Loss, for example "
            f"tf.keras.losses.BinaryCrossentropy(), it "
            f"is a {type(model.loss).__name__}",
        )
    unknown = [name for name in model.keras_model.input_names if name not in job.features]
    if unknown:
        raise job_lib.JobError(
            "ModuleFile",
            f"the model takes {unknown}, which the silo examples do not have as dense numbers; they have "
            f"{sorted(job.features)}. Name each tf.keras.Input after its feature",
        )
    if len(model.keras_model.outputs) != 1:
        raise job_lib.JobError(
            "ModuleFile",
            f"the model has {len(model.keras_model.outputs)} outputs; give it one, or one model per output",
        )
    if any(isinstance(part, tf.keras.layers.BatchNormalization) for part in model.keras_model.submodules):
        raise job_lib.JobError(
            "ModuleFile",
            "the model has a BatchNormalization layer, whose moving statistics federated averaging does not train; use "
            "LayerNormalization or GroupNormalization",
        )
