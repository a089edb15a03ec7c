"""The model of a FederatedRun as a function of its weights: many models answer the same rows in one compiled call."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfx_federated.contribution_evaluator.federated_run import LedgerError, Vectors

Features = Mapping[str, npt.NDArray]

# Compiled once for each number of models and of rows: fewer are padded.
_MODELS = (1, 4, 16, 64)
_ROWS = tuple(2**power for power in range(6, 13))
_LEAST_ROWS, _MOST_ROWS = _ROWS[0], _ROWS[-1]
# Models times rows of a call: what a hidden layer of 100 numbers needs stays below 200 MB.
_LARGEST_CALL = 2**19


class ModelFunction:
    """The model of a run."""

    def __init__(self, path: str) -> None:
        """Loads the model.

        Args:
            path: `federated_run.Ledger.model_path`.

        Raises:
            LedgerError: There is no such model.
        """
        try:
            loaded = tf.saved_model.load(path)
            (concrete,) = loaded.predict.concrete_functions
        except (OSError, AttributeError, ValueError) as error:
            raise LedgerError(f"{path} holds no model of many weights; run FederatedTrainer again") from error
        weights, specs = concrete.structured_input_signature[0]
        self._loaded = loaded
        self._predict = tf.function(loaded.predict, jit_compile=True)
        self.parameters: int = weights.shape[1]
        self.feature_specs: dict[str, tf.io.FixedLenFeature] = {
            name: tf.io.FixedLenFeature(spec.shape[1:], spec.dtype) for name, spec in specs.items()
        }

    def predictions(self, weights: Vectors, features: Features) -> npt.NDArray[np.float32]:
        """Returns the predictions of each model for each row, [models, rows, ...]; one output is [models, rows].

        Args:
            weights: [models, parameters].
            features: By name, [rows, ...] each; at least one row.
        """
        rows = len(next(iter(features.values())))
        size = _batch_rows(rows)
        parts = []
        for start in range(0, rows, size):
            batch = {name: _filled(column[start : start + size], size) for name, column in features.items()}
            tensors = {name: tf.constant(column) for name, column in batch.items()}
            parts.append(self._of_batch(weights, tensors, size)[:, : rows - start])
        predictions = np.concatenate(parts, axis=1)
        return predictions[..., 0] if predictions.ndim == 3 and predictions.shape[2] == 1 else predictions

    def _of_batch(self, weights: Vectors, features: Mapping[str, tf.Tensor], rows: int) -> npt.NDArray[np.float32]:
        size = _padded(len(weights), [models for models in _MODELS if models * rows <= _LARGEST_CALL])
        parts = [
            self._predict(tf.constant(_filled(weights[start : start + size], size)), features).numpy()
            for start in range(0, len(weights), size)
        ]
        return np.concatenate(parts)[: len(weights)]


def _batch_rows(rows: int) -> int:
    if rows <= _MOST_ROWS:
        return _padded(rows, _ROWS)
    # Equal batches: the last one would be mostly padding otherwise.
    batches = -(-rows // _MOST_ROWS)
    return _LEAST_ROWS * -(-rows // (batches * _LEAST_ROWS))


def _padded(count: int, sizes: tuple[int, ...] | list[int]) -> int:
    return next((size for size in sizes if count <= size), sizes[-1])


def _filled(array: npt.NDArray, size: int) -> npt.NDArray:
    """Returns the array with its last entry repeated up to a size."""
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array
