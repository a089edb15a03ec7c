"""The weights that a training starts from."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import functional_model
from tff_runtime import job as job_lib


def initial_weights(
    directory: job_lib.JobDirectory, job: job_lib.TrainingJob, make_model: functional_model.MakeModel
) -> tff.learning.models.ModelWeights:
    """Returns the weights of `initial_weights.npz`, else those that Keras initialises under the seed.

    TFF's own initialisation would not heed the seed.

    Raises:
        JobError: The file's weights are not those of the model.
    """
    tf.keras.utils.set_random_seed(job.seed)
    keras_model = make_model().keras_model
    if directory.initial_weights.exists():
        with np.load(directory.initial_weights) as file:
            weights = [file[f"arr_{number}"] for number in range(len(file.files))]
        shapes = [weight.shape for weight in weights]
        own_shapes = [tuple(variable.shape) for variable in keras_model.variables]
        if shapes != own_shapes:
            raise job_lib.JobError(
                "WarmStart",
                f"base_model has weights of shapes {shapes}, and the model of the module file {own_shapes}; start from "
                "a model of the same layers",
            )
        for variable, weight in zip(keras_model.variables, weights, strict=True):
            variable.assign(weight)
    return tff.learning.models.ModelWeights(
        trainable=[variable.numpy() for variable in keras_model.trainable_variables],
        non_trainable=[variable.numpy() for variable in keras_model.non_trainable_variables],
    )
