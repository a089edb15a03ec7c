"""Writes the trained models of a job.

model/                    SavedModel of the federated model, see `prediction.save_model`
silo_models/model/        SavedModel that routes each row to its silo's model, see `prediction.save_silo_models`
silo_models/weights.npz   their trainable weights, `arr_<n>`, each of shape (silos, *shape)
silo_models/silos.json    the silos in the order of that first axis
run/                      records of the rounds, see `learning.records`
"""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import tensorflow_federated as tff

from tff_runtime import functional_model, prediction
from tff_runtime import job as job_lib
from tff_runtime.learning import training


def write_models(
    folder: pathlib.Path,
    trained: training.TrainedModels,
    make_model: functional_model.MakeModel,
    job: job_lib.TrainingJob,
) -> None:
    """Writes the federated model and, if there are any, the silos' own."""
    keras_model = make_model().keras_model
    tff.learning.models.ModelWeights(*trained.weights).assign_weights_to(keras_model)
    shutil.rmtree(folder / "model", ignore_errors=True)
    prediction.save_model(folder / "model", keras_model, job)
    if trained.own_weights:
        shutil.rmtree(folder / "silo_models", ignore_errors=True)
        (folder / "silo_models").mkdir()
        model = functional_model.FunctionalModel(make_model, job)
        silos = [silo.silo for silo in job.silos[job.train_split]]
        non_trainable = [np.asarray(weight) for weight in trained.weights.non_trainable]
        prediction.save_silo_models(folder / "silo_models" / "model", model, trained.own_weights, non_trainable, silos)
        np.savez(folder / "silo_models" / "weights.npz", *trained.own_weights)
        (folder / "silo_models" / "silos.json").write_text(json.dumps(silos), "utf-8")
