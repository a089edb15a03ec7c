"""The rows on which models are compared: one split of the silo examples, in memory, sorted by silo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfx_federated import silo_examples
from tfx_federated.contribution_evaluator.model_function import Features

_ROWS_PER_PARSE = 4096


class HeldOutRowsError(ValueError):
    """The held-out rows are not those that the model was trained to answer."""


@dataclass(frozen=True, eq=False)
class HeldOutRows:
    """Rows of silos.

    Attributes:
        silos: Names of the silos that have rows, sorted.
        ends: Where each silo's rows end, [silos]; they begin where those of the former end.
        features: As the model takes them, by name, [rows, ...].
        labels: [rows].
    """

    silos: Sequence[str]
    ends: npt.NDArray[np.int64]
    features: Features
    labels: npt.NDArray[np.float64]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Rows of each silo, [silos]."""
        return np.diff(self.ends, prepend=0)

    @property
    def silo_of_row(self) -> npt.NDArray[np.int64]:
        """Position of each row's silo, [rows]."""
        return np.repeat(np.arange(len(self.silos)), self.counts)

    def of_silo(self, place: int) -> tuple[Features, npt.NDArray[np.float64]]:
        """Returns features and labels of the rows of one silo."""
        rows = slice(int(self.ends[place] - self.counts[place]), int(self.ends[place]))
        return {name: column[rows] for name, column in self.features.items()}, self.labels[rows]

    def sample(self, rows: int, seed: int) -> HeldOutRows:
        """Returns at most so many rows, drawn without replacement: of each silo its share, rounded up.

        Rounding up keeps every silo; the sample has at most one row more for each silo.
        """
        if len(self.labels) <= rows:
            return self
        generator = np.random.default_rng(seed)
        share = rows / len(self.labels)
        taken = [
            end - count + np.sort(generator.choice(count, int(np.ceil(share * count)), replace=False))
            for end, count in zip(self.ends, self.counts, strict=True)
        ]
        chosen = np.concatenate(taken)
        return HeldOutRows(
            silos=self.silos,
            ends=np.cumsum([len(places) for places in taken]),
            features={name: column[chosen] for name, column in self.features.items()},
            labels=self.labels[chosen],
        )


def read(
    reader: silo_examples.SiloExamplesReader,
    split: str,
    specs: Mapping[str, tf.io.FixedLenFeature],
    label_key: str,
) -> HeldOutRows:
    """Reads one split.

    Args:
        reader: The silo examples, in the form that the model was trained on.
        split: Name of the split.
        specs: How a row holds the model's features, `model_function.ModelFunction.feature_specs`.
        label_key: Name of the label: one number a row.

    Raises:
        SiloExamplesError: There is no such split, or its files are damaged.
        HeldOutRowsError: The split has no row, or a row lacks a feature or the label.
    """
    entries = reader.entries(split)
    if not entries:
        raise HeldOutRowsError(f"split {split!r} of the silo examples has no rows; name a split that has some")
    records = np.array([record for entry in entries for record in reader.read(entry)], np.object_)
    label = tf.io.FixedLenFeature((), _label_type(records[0], label_key))
    parts = [_parsed(records[start : start + _ROWS_PER_PARSE], specs, label_key, label, split)
             for start in range(0, len(records), _ROWS_PER_PARSE)]  # fmt: skip
    labels = np.concatenate([part[label_key] for part in parts]).astype(np.float64)
    return HeldOutRows(
        silos=[entry.silo for entry in entries],
        ends=np.cumsum([entry.rows for entry in entries]),
        features={name: np.concatenate([part[name] for part in parts]) for name in specs},
        labels=labels,
    )


def _label_type(record: bytes, label_key: str) -> tf.DType:
    feature = tf.train.Example.FromString(record).features.feature
    kind = feature[label_key].WhichOneof("kind") if label_key in feature else None
    if kind == "int64_list":
        return tf.int64
    if kind == "float_list":
        return tf.float32
    raise HeldOutRowsError(
        f"label {label_key!r} is {'missing' if kind is None else 'text'} in the silo examples; give the silo examples "
        "that FederatedTrainer was given"
    )


def _parsed(
    records: npt.NDArray[np.object_],
    specs: Mapping[str, tf.io.FixedLenFeature],
    label_key: str,
    label: tf.io.FixedLenFeature,
    split: str,
) -> dict[str, npt.NDArray]:
    try:
        # A label may be a feature of the model too, which has its own name here.
        parsed = tf.io.parse_example(records, {**specs, label_key: label})
    except tf.errors.InvalidArgumentError as error:
        # The operation's message names the feature, never its value.
        raise HeldOutRowsError(
            f"split {split!r} of the silo examples has rows without a feature that the model takes; give the silo "
            f"examples that FederatedTrainer was given. TensorFlow says: {error.message}"
        ) from None
    return {name: tensor.numpy() for name, tensor in parsed.items()}
