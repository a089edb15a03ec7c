"""The silos' own models, personalised or trained alone, answering their silos' held-out rows."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tfx.dsl.io import fileio

from tfx_federated import whole_files
from tfx_federated.contribution_evaluator import held_out_rows, model_function
from tfx_federated.contribution_evaluator.federated_run import Vectors


class OwnModelsError(ValueError):
    """A SiloModels artifact is not whole, or has models of another kind than the FederatedRun."""


@dataclass(frozen=True, eq=False)
class OwnModels:
    """Models of silos.

    Attributes:
        place_of_silo: Position of each silo's weights.
        weights: Trainable weights, flattened as those of the FederatedRun, [silos, parameters].
    """

    place_of_silo: Mapping[str, int]
    weights: Vectors

    def predictions(
        self, model: model_function.ModelFunction, rows: held_out_rows.HeldOutRows
    ) -> npt.NDArray[np.float32]:
        """Returns each row's prediction by its silo's model, [rows, ...]; NaN where the silo has none.

        Args:
            model: The model as a function of its weights.
            rows: The rows.
        """
        parts, unknown = [], []
        for place, silo in enumerate(rows.silos):
            features, labels = rows.of_silo(place)
            is_known = silo in self.place_of_silo
            weights = self.weights[[self.place_of_silo.get(silo, 0)]]
            parts.append(model.predictions(weights, features)[0])
            unknown.append(np.full(len(labels), not is_known))
        predictions = np.concatenate(parts)
        predictions[np.concatenate(unknown)] = np.nan
        return predictions


def read(uri: str, parameters: int) -> OwnModels:
    """Reads a SiloModels artifact.

    Args:
        uri: Its URI.
        parameters: Number of trainable weights of the FederatedRun's model.

    Raises:
        OwnModelsError: It is not whole, or its models have another number of weights.
    """
    weights_file, silos_file = (os.path.join(uri, name) for name in ("weights.npz", "silos.json"))
    for file in (weights_file, silos_file):
        if not fileio.exists(file):
            raise OwnModelsError(f"{file} is missing; give SiloModels that FederatedTrainer wrote")
    silos = whole_files.read_json(silos_file)
    with fileio.open(weights_file, "rb") as file, np.load(io.BytesIO(file.read()), allow_pickle=False) as arrays:
        stacks = [arrays[f"arr_{number}"] for number in range(len(arrays.files))]
    weights = np.concatenate([stack.reshape(len(silos), -1) for stack in stacks], axis=1).astype(np.float32)
    if weights.shape[1] != parameters:
        raise OwnModelsError(
            f"{uri} has models of {weights.shape[1]} weights, and the FederatedRun's model has {parameters}: they are "
            "of different trainings; give outputs of one FederatedTrainer, or of two with the same model"
        )
    return OwnModels({silo: place for place, silo in enumerate(silos)}, weights)
