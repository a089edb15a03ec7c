"""Writes the trained models of a job.

model/                    SavedModel of the federated model, see `prediction.save_model`
silo_models/model/        SavedModel that routes each row to its silo's model, see `prediction.save_silo_models`
silo_models/weights.npz   the same weights, `arr_<n>` for variable n, each of shape (silos, *shape)
silo_models/silos.json    the silos in the order of that first axis
run/                      records of the rounds, see `learning.training.Records`
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from tff_runtime import job as job_lib
from tff_runtime import model as model_lib
from tff_runtime import prediction
from tff_runtime.learning import training, variable_model


def write_models(
    folder: pathlib.Path,
    trained: training.TrainedModels,
    make_model: Callable[[], model_lib.FederatedModel],
    job: job_lib.TrainingJob,
) -> None:
    """Writes the federated model and, if there are any, the silos' own."""
    keras_model = make_model().keras_model
    variable_model.assign_weights(trained.weights, keras_model)
    shutil.rmtree(folder / "model", ignore_errors=True)
    prediction.save_model(folder / "model", keras_model, job)
    if trained.local_weights:
        shutil.rmtree(folder / "silo_models", ignore_errors=True)
        _write_silo_models(folder / "silo_models", keras_model, trained, make_model, job)


def _write_silo_models(
    folder: pathlib.Path,
    keras_model: Any,
    trained: training.TrainedModels,
    make_model: Callable[[], model_lib.FederatedModel],
    job: job_lib.TrainingJob,
) -> None:
    folder.mkdir()
    silos = [silo.silo for silo in job.silos[job.train_split]]
    of_each_silo = []
    for weights in trained.local_weights:
        variable_model.assign_weights(weights, keras_model)
        of_each_silo.append([variable.numpy() for variable in keras_model.variables])
    stacked = [np.stack(values) for values in zip(*of_each_silo, strict=True)]
    prediction.save_silo_models(folder / "model", make_model, stacked, silos, job)
    np.savez(folder / "weights.npz", *stacked)
    (folder / "silos.json").write_text(json.dumps(silos), "utf-8")
