"""Loads a user's module file and makes its model."""

from __future__ import annotations

import importlib.util
import pathlib
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import functional_model
from tff_runtime import job as job_lib
from tff_runtime import model as model_lib

MODEL_FUNCTION = "model_fn"
PROCESS_FUNCTION = "learning_process_fn"


class UserModule(NamedTuple):
    """What a module file defines.

    Attributes:
        make_model: Makes the user's model, a new one at each call, and checks it.
        make_process: Makes the user's own `tff.learning.templates.LearningProcess`; None where the file has none.
    """

    make_model: functional_model.MakeModel
    make_process: Callable[[], Any] | None


def load(path: pathlib.Path, job: job_lib.TrainingJob) -> UserModule:
    """Loads a module file.

    Args:
        path: The module file.
        job: The job, for the arguments of the user's functions.

    Returns:
        The user's functions without arguments. They raise `JobError` with the user's traceback where the user's own
        raise, or return something else than a `FederatedModel` that fits the job's features, or a `LearningProcess`.

    Raises:
        JobError: The file cannot be imported here, or has no `model_fn`.
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

    def make_process() -> Any:
        try:
            process = getattr(module, PROCESS_FUNCTION)(arguments, _variable_model_function(make_model, job))
        except Exception as error:
            raise job_lib.JobError("ModuleFile", f"{PROCESS_FUNCTION} raised\n{traceback.format_exc()}") from error
        if not isinstance(process, tff.learning.templates.LearningProcess):
            raise job_lib.JobError(
                "ModuleFile",
                f"{PROCESS_FUNCTION} returned a {type(process).__name__}, expected a "
                "tff.learning.templates.LearningProcess",
            )
        return process

    return UserModule(make_model, make_process if hasattr(module, PROCESS_FUNCTION) else None)


def _variable_model_function(
    make_model: functional_model.MakeModel, job: job_lib.TrainingJob
) -> Callable[[], tff.learning.models.VariableModel]:
    """Returns the `model_fn` that `tff.learning.algorithms` take, of batches (features by name, label)."""

    def variable_model() -> tff.learning.models.VariableModel:
        model = make_model()
        features = functional_model.feature_specs(model.keras_model.input_names, job)
        label = tf.TensorSpec((None, *job.label.shape), job.label.dtype)
        return tff.learning.models.from_keras_model(
            model.keras_model, loss=model.loss, input_spec=(features, label), metrics=list(model.metrics)
        )

    return variable_model


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
