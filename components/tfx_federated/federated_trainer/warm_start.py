"""A training that starts from the weights of an earlier one."""

from __future__ import annotations

import itertools
import os

import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.utils import path_utils

from tff_runtime import job as job_lib

# How the checkpoint of a SavedModel names variable n of `serving_model`'s inner model.
_NAME = "_inner/model_variables/{}/.ATTRIBUTES/VARIABLE_VALUE"
_WHAT_TO_GIVE = "give the output `model` of a FederatedTrainer that trained the same model_fn"


class BaseModelError(ValueError):
    """A model is none that a FederatedTrainer has written."""


def write_initial_weights(model_uri: str, directory: job_lib.JobDirectory) -> None:
    """Writes the weights of a trained model into a job directory.

    They go to `initial_weights.npz`, `arr_<n>` for variable n of `keras_model.variables`. Whether they fit the user's
    model, only the TFF side can tell: it builds that model.

    Args:
        model_uri: URI of a Model artifact that a FederatedTrainer has written.
        directory: The job; its folder is there.

    Raises:
        BaseModelError: The artifact is another trainer's, or holds no model.
    """
    np.savez(directory.initial_weights, *read_weights(model_uri))


def read_weights(model_uri: str) -> list[np.ndarray]:
    """Returns the weights of a trained model in the order of `keras_model.variables`.

    Only the checkpoint inside the SavedModel is read. So the operations of the Transform graph need not be registered.

    Args:
        model_uri: As in `write_initial_weights`.

    Raises:
        BaseModelError: As in `write_initial_weights`.
    """
    variables = os.path.join(path_utils.serving_model_dir(model_uri), "variables", "variables")
    if not fileio.exists(variables + ".index"):
        raise BaseModelError(f"base_model {model_uri} holds no SavedModel with weights; {_WHAT_TO_GIVE}")
    reader = tf.train.load_checkpoint(variables)
    names = itertools.takewhile(reader.has_tensor, map(_NAME.format, itertools.count()))
    weights = [reader.get_tensor(name) for name in names]
    if not weights:
        raise BaseModelError(f"base_model {model_uri} is no model of a FederatedTrainer; {_WHAT_TO_GIVE}")
    return weights
