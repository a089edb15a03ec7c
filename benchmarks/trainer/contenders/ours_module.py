"""The module file of a workload: its network, with its initial weights."""

import pathlib

import tensorflow as tf

from benchmarks.trainer import contract
from benchmarks.trainer.contenders import keras_network
from tff_runtime.model import FederatedModel, ModelArguments


def model_fn(arguments: ModelArguments) -> FederatedModel:
    """Returns the network of the workload in the folder that `custom_config` names."""
    workload = contract.Workload.read(pathlib.Path(arguments.custom_config["workload"]))
    return FederatedModel(keras_network.build(workload), loss=tf.keras.losses.BinaryCrossentropy(from_logits=True))
