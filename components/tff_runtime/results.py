"""Writes the trained models of a job.

model/                    SavedModel of the federated model, see `prediction.save_model`
silo_models/model/        SavedModel that routes each row to its silo's model, see `prediction.save_silo_models`
silo_models/weights.npz   their trainable weights, `arr_<n>`, each of shape (silos, *shape)
silo_models/silos.json    the silos in the order of that first axis
run/                      records of the rounds, see `learning.records`
run/model_function/       SavedModel of the model as a function of its weights, see `many_models.save`
run/weights.npz           trainable weights, flattened as that function takes them: `exported`, those of model/, and
                          `initial` and `last_round`, those before the first and after the last round; float32 [P]
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_federated as tff

from tff_runtime import functional_model, many_models, prediction
from tff_runtime import job as job_lib
from tff_runtime.learning import sent_updates, training


def write_models(
    folder: pathlib.Path,
    trained: training.TrainedModels,
    make_model: functional_model.MakeModel,
    job: job_lib.TrainingJob,
) -> None:
    """Writes the federated model, the silos' own if there are any, and the model as a function of its weights."""
    keras_model = make_model().keras_model
    model = functional_model.FunctionalModel(make_model, job)
    non_trainable = [np.asarray(weight) for weight in trained.weights.non_trainable]
    tff.learning.models.ModelWeights(*trained.weights).assign_weights_to(keras_model)
    shutil.rmtree(folder / "model", ignore_errors=True)
    prediction.save_model(folder / "model", keras_model, job)
    if trained.own_weights:
        shutil.rmtree(folder / "silo_models", ignore_errors=True)
        (folder / "silo_models").mkdir()
        silos = [silo.silo for silo in job.silos[job.train_split]]
        prediction.save_silo_models(folder / "silo_models" / "model", model, trained.own_weights, non_trainable, silos)
        np.savez(folder / "silo_models" / "weights.npz", *trained.own_weights)
        (folder / "silo_models" / "silos.json").write_text(json.dumps(silos), "utf-8")
    shutil.rmtree(folder / "run" / "model_function", ignore_errors=True)
    many_models.save(folder / "run" / "model_function", model, non_trainable)
    np.savez(
        folder / "run" / "weights.npz",
        exported=_flat(trained.weights.trainable),
        initial=_flat(trained.initial_weights.trainable),
        last_round=_flat(trained.last_weights.trainable),
    )


def _flat(trainable: Sequence[Any]) -> np.ndarray:
    return sent_updates.flat([np.asarray(weight) for weight in trainable])
