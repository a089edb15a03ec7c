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
    trainable = [variable.numpy() for variable in keras_model.trainable_variables]
    non_trainable = [variable.numpy() for variable in keras_model.non_trainable_variables]
    if directory.initial_weights.exists():
        own_shapes = [weight.shape for weight in [*trainable, *non_trainable]]
        with np.load(directory.initial_weights) as file:
            weights = [file[f"arr_{number}"] for number in range(len(file.files))]
        if [weight.shape for weight in weights] != own_shapes:
            raise job_lib.JobError(
                "WarmStart",
                f"base_model has weights of shapes {[weight.shape for weight in weights]}, and the model of the module "
                f"file {own_shapes}; start from a model of the same layers",
            )
        trainable, non_trainable = weights[: len(trainable)], weights[len(trainable) :]
    return tff.learning.models.ModelWeights(trainable, non_trainable)
