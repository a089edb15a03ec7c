"""The user's Keras model as TFF sees it."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime import model as model_lib

VariableModelFunction = Callable[[], tff.learning.models.VariableModel]


def feature_specs(features: Sequence[str], job: job_lib.TrainingJob) -> collections.OrderedDict[str, tf.TensorSpec]:
    """Returns the type of a batch of the given features, by name in alphabetical order."""
    return collections.OrderedDict(
        (name, tf.TensorSpec((None, *job.features[name].shape), job.features[name].dtype)) for name in sorted(features)
    )


def build_variable_model_function(
    make_model: Callable[[], model_lib.FederatedModel], features: Sequence[str], job: job_lib.TrainingJob
) -> VariableModelFunction:
    """Returns the `model_fn` that `tff.learning` takes.

    Args:
        make_model: Makes the user's model.
        features: Names of the features that the model takes.
        job: The job, for the types.

    Returns:
        A function that makes a new `tff.learning.models.VariableModel` of batches (features, label).
    """
    specs = (feature_specs(features, job), tf.TensorSpec((None, *job.label.shape), job.label.dtype))

    def variable_model() -> tff.learning.models.VariableModel:
        model = make_model()
        return tff.learning.models.from_keras_model(
            model.keras_model, loss=model.loss, input_spec=specs, metrics=list(model.metrics)
        )

    return variable_model


def initial_weights(make_model: Callable[[], model_lib.FederatedModel], seed: int) -> tff.learning.models.ModelWeights:
    """Returns the weights that Keras initialises under the seed, which TFF's own initialisation would not heed."""
    tf.keras.utils.set_random_seed(seed)
    keras_model = make_model().keras_model
    return tff.learning.models.ModelWeights(
        trainable=[variable.numpy() for variable in keras_model.trainable_variables],
        non_trainable=[variable.numpy() for variable in keras_model.non_trainable_variables],
    )


def assign_weights(weights: Any, keras_model: Any) -> None:
    """Puts weights into a Keras model.

    Args:
        weights: `tff.learning.models.ModelWeights`, or a mapping with the keys `trainable` and `non_trainable`.
        keras_model: The model.
    """
    if isinstance(weights, Mapping):
        weights = tff.learning.models.ModelWeights(weights["trainable"], weights["non_trainable"])
    weights.assign_weights_to(keras_model)
