"""The updates of all silos of a round at the server, where they are kept for the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tff_runtime import functional_model
from tff_runtime import job as job_lib
from tff_runtime.privacy import private_rounds
from tff_runtime.settings import ledgers, privacy

# For a summary, which may not cost the memory that a training with large models needs.
_LARGEST_BYTES_OF_SUMMARY = 2**28


class SentUpdates(NamedTuple):
    """What the silos of a round sent.

    Attributes:
        vectors: Their updates in the direction that the weights go: those after local training less those before. Each
            is flattened in C order, variable after variable; float32, shape `(silos, parameters)`; 0 where not finite.
        weights: How much each counts in the mean; float32, shape `(silos,)`; 0 where the update is not finite.
    """

    vectors: np.ndarray
    weights: np.ndarray


def are_kept(job: job_lib.TrainingJob, model: functional_model.FunctionalModel) -> bool:
    """Returns whether a round's updates are kept together: for a detailed ledger, or where they are small."""
    if isinstance(job.privacy, privacy.SiloLevel):
        return False
    if isinstance(job.ledger, ledgers.DetailedLedger):
        return True
    numbers = private_rounds.cohort_size(job) * parameters(model)
    return numbers * np.dtype(np.float32).itemsize <= _LARGEST_BYTES_OF_SUMMARY


def parameters(model: functional_model.FunctionalModel) -> int:
    """Returns the number of trainable weights of a model."""
    return sum(spec.shape.num_elements() for spec in model.trainable)


def flat(tensors: Sequence[np.ndarray]) -> np.ndarray:
    """Returns a model's tensors as one float32 vector: each in C order, one after the other."""
    return np.concatenate([np.ravel(tensor) for tensor in tensors]).astype(np.float32, copy=False)


def of_stacks(update: Sequence[np.ndarray], weight: np.ndarray) -> SentUpdates:
    """Returns what silos sent.

    Args:
        update: `silo_training.SiloResults.update`, in the direction of a gradient; each of shape `(silos, *shape)`.
        weight: `silo_training.SiloResults.weight`.
    """
    flattened = [np.reshape(stack, (len(weight), -1)) for stack in update]
    return SentUpdates(-np.concatenate(flattened, axis=1, dtype=np.float32), np.asarray(weight, np.float32))


def cosines(sent: SentUpdates) -> np.ndarray:
    """Returns the cosine between each silo's update and their weighted mean, shape `(silos,)`; NaN where one is 0."""
    # Only its direction is needed.
    mean = sent.weights @ sent.vectors
    products = sent.vectors @ mean
    norms = np.asarray([np.linalg.norm(vector) for vector in sent.vectors]) * np.linalg.norm(mean)
    return np.clip(np.divide(products, norms, out=np.full_like(products, np.nan), where=norms > 0), -1, 1)
