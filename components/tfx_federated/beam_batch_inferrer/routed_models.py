"""The models of a run: each row to its silo's own model if there is one, else to the model of all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfx_federated.beam_batch_inferrer.serving_signature import ServingSignature
from tfx_federated.example_shards import ShardError

# Separate models that a process holds at a time.
_MOST_MODELS = 16

Part = tuple[ServingSignature, np.ndarray]


class OwnModels(Protocol):
    """Models of silos."""

    @property
    def silos(self) -> Collection[str]:
        """Ids of the silos that have one."""

    @property
    def input_names(self) -> Collection[str]:
        """The inputs that they are known to have before a row is scored."""

    def parts(self, silos: pa.DictionaryArray, rows: np.ndarray) -> Iterator[Part]:
        """Yields signatures and the rows that each scores, of rows whose silos have a model."""


class StackedModels:
    """The models of all silos behind one signature, which takes each row to its silo's weights."""

    def __init__(self, signature: ServingSignature, silos: Collection[str]) -> None:
        """Takes the signature and the ids of its silos."""
        self.silos = silos
        self.input_names = signature.input_names
        self._signature = signature

    def parts(self, silos: pa.DictionaryArray, rows: np.ndarray) -> Iterator[Part]:
        """See `OwnModels`: one call for all silos."""
        del silos
        yield self._signature, rows


class SeparateModels:
    """A SavedModel for each silo, loaded when a row needs it; those used last stay in memory."""

    def __init__(self, folders: Mapping[str, str], load: Callable[[str], ServingSignature]) -> None:
        """Takes the models.

        Args:
            folders: The SavedModel of each silo.
            load: Loads one.
        """
        self.silos = list(folders)
        self.input_names: Collection[str] = ()
        self._folders = folders
        self._load = functools.lru_cache(_MOST_MODELS)(load)

    def parts(self, silos: pa.DictionaryArray, rows: np.ndarray) -> Iterator[Part]:
        """See `OwnModels`: a call for each silo."""
        codes = silos.indices.take(pa.array(rows)).to_numpy()
        for code in np.unique(codes):
            yield self._load(self._folders[silos.dictionary[int(code)].as_py()]), rows[codes == code]


class RoutedModels:
    """The model, and perhaps models of silos.

    Attributes:
        model: The model of all: scores rows of silos without an own model, and rows without a silo.
    """

    def __init__(self, model: ServingSignature, own: OwnModels | None = None) -> None:
        """Takes the models."""
        self.model = model
        self._own = own
        self._own_silos = pa.array(sorted(own.silos) if own else [], pa.string())

    @property
    def input_names(self) -> set[str]:
        """The inputs of the models."""
        return {*self.model.input_names, *(self._own.input_names if self._own else ())}

    def route(self, silos: pa.DictionaryArray) -> Iterator[Part]:
        """Yields which signature scores which of n rows, by their places; each row once.

        Args:
            silos: The n rows' silos, as `NamedFeatures.silos`.

        Raises:
            ShardError: A silo's model has other outputs than the model of all.
        """
        everything = np.arange(len(silos))
        if self._own is None:
            yield self.model, everything
            return
        is_known = pc.is_in(silos.dictionary, self._own_silos).to_numpy(zero_copy_only=False)
        # A row without a silo has code -1: the last element.
        own = np.append(is_known, False)[pc.fill_null(silos.indices, -1).to_numpy()]
        if own.any():
            for signature, rows in self._own.parts(silos, everything[own]):
                if signature.output_names != self.model.output_names:
                    raise ShardError(
                        f"a model of input 'silo_models' has the outputs {signature.output_names}, and input 'model' "
                        f"has {self.model.output_names}; they must be the same"
                    )
                yield signature, rows
        if not own.all():
            yield self.model, everything[~own]
