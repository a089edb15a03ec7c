"""Layers that stay with the silo (FedRep: Collins et al., arXiv 2102.07078; FedBN: Li et al., arXiv 2102.07623).

A silo starts each round from the global weights of the shared layers and its own weights of the local ones, trains all
of them together, and sends the update of the shared layers only.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tff_runtime import job as job_lib
from tff_runtime.learning import local_algorithm
from tff_runtime.settings import personalizations as settings


class LocalLayers(local_algorithm.Around):
    """Another algorithm, of the shared layers."""

    def __init__(self, inner: local_algorithm.LocalAlgorithm, setting: settings.LocalLayers) -> None:
        """Takes the algorithm and the names of the local layers.

        Raises:
            JobError: A name fits no layer with trainable weights, or no layer is left to share.
        """
        super().__init__(inner)
        names = inner.model.layers
        self._local = [any(fnmatch.fnmatchcase(name, pattern) for pattern in setting.layers) for name in names]
        unknown = [pattern for pattern in setting.layers if not fnmatch.filter(names, pattern)]
        if unknown or all(self._local):
            what = f"LocalLayers: {unknown} fits no layer" if unknown else "LocalLayers: no layer is left to share"
            raise job_lib.JobError(
                "LocalLayers", f"{what}; the model's layers with trainable weights are {sorted(set(names))}"
            )

    def initial_state(self, initial_weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns the weights of the local layers, then the inner algorithm's state."""
        own = [weight for weight, local in zip(initial_weights, self._local, strict=True) if local]
        return [*own, *self._inner.initial_state(initial_weights)]

    def personal_weights(
        self, trainable: local_algorithm.Tensors, state: local_algorithm.Tensors
    ) -> list[tf.Tensor] | None:
        """Returns the global weights of the shared layers and the silos' own of the local ones."""
        return self._with_own(local_algorithm.repeated(trainable, tf.shape(state[0])[0]), state)

    def train(
        self,
        message: local_algorithm.Message,
        start: local_algorithm.Tensors,
        task: local_algorithm.SiloTask,
    ) -> local_algorithm.Trained:
        """See `LocalAlgorithm.train`."""
        own = sum(self._local)
        start = self._with_own(start, task.state)
        trained = self._inner.train(message, start, task._replace(state=task.state[own:]))
        update = list(zip(trained.update, start, self._local, strict=True))
        return trained._replace(
            update=[tf.zeros_like(change) if local else change for change, _, local in update],
            state=[*(before - change for change, before, local in update if local), *trained.state],
        )

    def _with_own(self, weights: local_algorithm.Tensors, state: local_algorithm.Tensors) -> list[tf.Tensor]:
        own = iter(state)
        return [next(own) if local else weight for weight, local in zip(weights, self._local, strict=True)]
