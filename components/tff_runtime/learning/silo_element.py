"""What a TFF client is given for one round: one element that says where its rows are, not the rows."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime import silo_data, silo_files
from tff_runtime.learning import batch_loop, host_task, local_algorithm


class RowFiles:
    """The files of one split, and how a client finds its rows in them."""

    def __init__(self, data: silo_data.SiloData, split: str) -> None:
        """Takes the arrays of a split."""
        self._features = {name: silo_files.ArrayFile.of(array) for name, array in data.arrays[split].items()}
        self._label = silo_files.ArrayFile.of(data.labels[split])
        self._total = len(data.labels[split])
        self.specs = collections.OrderedDict(
            folder=tf.TensorSpec((), tf.string),
            start=tf.TensorSpec((), tf.int64),
            count=tf.TensorSpec((), tf.int64),
            total=tf.TensorSpec((), tf.int64),
        )

    def place(self, folder: str, silo: job_lib.SiloRows) -> collections.OrderedDict[str, Any]:
        """Returns where a silo's rows are, if the split's files lie in the folder."""
        return collections.OrderedDict(
            folder=folder, start=np.int64(silo.start), count=np.int64(silo.count), total=np.int64(self._total)
        )

    def read(self, place: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Returns the features by name, and the labels, of the rows at a place."""
        where = (place["folder"], place["start"], place["count"], place["total"])
        features = {name: silo_files.read_rows(file, *where) for name, file in self._features.items()}
        return features, silo_files.read_rows(self._label, *where)


class OwnModelElement:
    """A silo's rows and its own model as an element of a TFF sequence."""

    def __init__(self, files: RowFiles, trainable: Sequence[tf.TensorSpec]) -> None:
        """Takes the files of a split, and the types of the model's trainable weights."""
        self._files = files
        self._specs = collections.OrderedDict(place=files.specs, trainable=tuple(trainable))
        self.sequence_type = tff.SequenceType(tff.types.tensorflow_to_type(self._specs))

    def element(
        self, silo: job_lib.SiloRows, folder: str, trainable: Sequence[np.ndarray]
    ) -> collections.OrderedDict[str, Any]:
        """Returns the element of one silo."""
        return collections.OrderedDict(place=self._files.place(folder, silo), trainable=tuple(trainable))


class TaskElement:
    """A silo's task of one round as an element of a TFF sequence."""

    def __init__(self, files: RowFiles, batch_size: int, state: Sequence[Any], privacy: Mapping[str, Any]) -> None:
        """Describes the element.

        Args:
            files: The files of the training split.
            batch_size: Rows in a batch, padding included.
            state: Types of what a silo keeps, without a silo axis.
            privacy: Types of what record-level privacy needs, without a silo axis.
        """
        self._files = files
        self.specs = collections.OrderedDict(
            place=files.specs,
            order=tf.TensorSpec((None, batch_size), tf.int32),
            epoch_steps=tf.TensorSpec((), tf.int32),
            number=tf.TensorSpec((), tf.int32),
            weight=tf.TensorSpec((), tf.float32),
            learning_rate=tf.TensorSpec((), tf.float32),
        )
        if state:
            self.specs["state"] = tuple(tf.TensorSpec(spec.shape, spec.dtype) for spec in state)
        if privacy:
            self.specs["privacy"] = collections.OrderedDict(privacy)
        self.sequence_type = tff.SequenceType(tff.types.tensorflow_to_type(self.specs))

    def element(self, task: host_task.HostTask, folder: str) -> collections.OrderedDict[str, Any]:
        """Returns a task as an element, for a client that finds the split's files in the folder."""
        element = collections.OrderedDict(
            place=self._files.place(folder, task.silo),
            order=task.order,
            epoch_steps=np.int32(task.epoch_steps),
            number=np.int32(task.number),
            weight=np.float32(task.weight),
            learning_rate=np.float32(task.learning_rate),
        )
        if "state" in self.specs:
            element["state"] = tuple(task.state)
        if "privacy" in self.specs:
            element["privacy"] = collections.OrderedDict((name, task.privacy[name]) for name in self.specs["privacy"])
        return element

    def task(self, element: Mapping[str, Any]) -> local_algorithm.SiloTask:
        """Reads the rows, and returns the task of one silo with a silo axis."""
        features, labels = self._files.read(element["place"])
        order = element["order"]
        one = tf.nest.map_structure(
            lambda value: tf.convert_to_tensor(value)[tf.newaxis],
            {key: element[key] for key in ("epoch_steps", "number", "weight")},
        )
        state = [tf.convert_to_tensor(value)[tf.newaxis] for value in element.get("state", ())]
        privacy = {name: value[tf.newaxis] for name, value in element.get("privacy", {}).items()}
        rows = batch_loop.Rows(
            features={name: values[tf.newaxis] for name, values in features.items()},
            labels=labels[tf.newaxis],
            order=tf.ensure_shape(order, self.specs["order"].shape)[tf.newaxis],
            steps=tf.shape(order)[:1],
        )
        return local_algorithm.SiloTask(
            rows=rows, learning_rate=element["learning_rate"], state=state, privacy=privacy, **one
        )
