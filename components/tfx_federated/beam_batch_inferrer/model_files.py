"""The models of a run as files, and loaded once per process."""

from __future__ import annotations

import dataclasses
from typing import Any

from apache_beam.utils import shared
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.io import fileio
from tfx.utils import path_utils

from tfx_federated import whole_files
from tfx_federated.beam_batch_inferrer.routed_models import (
    OwnModels,
    RoutedModels,
    SeparateModels,
    StackedModels,
)
from tfx_federated.beam_batch_inferrer.serving_signature import ServingSignature

# In a SiloModels artifact of stacked models: the ids of its silos, in the order of its weights.
_STACKED = "silos.json"
# In one of separate models: the folder of each silo's SavedModel, below the artifact's.
_SEPARATE = "models.json"


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """Where the models are.

    Attributes:
        model: Folder of the SavedModel that scores every silo without a model of its own.
        silo_models: URI of the SiloModels artifact, if there is one.
        on_features: Whether the rows are columns, not serialized tf.Examples.
    """

    model: str
    silo_models: str | None
    on_features: bool

    @property
    def folders(self) -> list[str]:
        """Folders of all files of the models."""
        return [self.model, *([self.silo_models] if self.silo_models else [])]

    def silos(self) -> list[str] | None:
        """Returns the silos that have a model of their own; None without SiloModels.

        Raises:
            ValueError: The SiloModels artifact does not say it.
        """
        if self.silo_models is None:
            return None
        for name in (_STACKED, _SEPARATE):
            if fileio.exists(f"{self.silo_models}/{name}"):
                return list(whole_files.read_json(f"{self.silo_models}/{name}"))
        raise ValueError(
            f"input 'silo_models': {self.silo_models} has neither {_STACKED} nor {_SEPARATE}; check the trainer's "
            "output"
        )

    def load(self, handle: shared.Shared) -> RoutedModels:
        """Returns the models of this process, loading them the first time.

        Args:
            handle: Names the models among the threads of a process.

        Raises:
            ValueError: As `ServingSignature`.
        """
        return handle.acquire(self._load, tag=self.model)

    def _load(self) -> RoutedModels:
        model = ServingSignature(self.model, "model", self.on_features)
        model.warm_up()
        return RoutedModels(model, self._own_models())

    def _own_models(self) -> OwnModels | None:
        silos = self.silos()
        if silos is None:
            return None
        if fileio.exists(f"{self.silo_models}/{_STACKED}"):
            stacked = self._load_own(path_utils.serving_model_path(self.silo_models))
            stacked.warm_up()
            return StackedModels(stacked, silos)
        folders = whole_files.read_json(f"{self.silo_models}/{_SEPARATE}")
        places = {silo: f"{self.silo_models}/{folder}" for silo, folder in folders.items()}
        return SeparateModels(places, self._load_own)

    def _load_own(self, path: str) -> ServingSignature:
        return ServingSignature(path, "silo_models", self.on_features)


def reason_not_to_score(blessing: types.Artifact | None) -> str | None:
    """Returns why a model is not to be applied, or None if it is."""
    if blessing is None or model_utils.is_model_blessed(blessing):
        return None
    return f"the model is not blessed by {blessing.uri}"


def identity(model: types.Artifact) -> dict[str, Any]:
    """Returns what names a model: its URI, and its version if the artifact has one."""
    version = next(
        (
            model.get_string_custom_property(name) or str(model.get_int_custom_property(name))
            for name in ("pushed_version", "version")
            if model.has_custom_property(name)
        ),
        None,
    )
    return {"uri": model.uri, "version": version}
