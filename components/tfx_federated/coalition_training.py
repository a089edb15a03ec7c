"""The weights that coalitions of a training's silos would have reached alone: what exact Shapley values need.

The training is repeated in the TFF interpreter for each coalition with the settings that a FederatedRun records.
"""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from tfx import types
from tfx.types import artifact_utils

from tff_runtime import job as job_lib
from tff_runtime.settings import cohorts, combinations, encoding, executions, ledgers, privacy, stopping
from tfx_federated import tff_process, whole_files
from tfx_federated.federated_trainer import training_job, warm_start

_SECONDS_BETWEEN_MESSAGES = 10
# Of a training: what it measures and keeps beside its weights, and where it runs.
_WEIGHTS_ONLY: Mapping[str, Any] = {
    "execution": executions.InProcess(),
    "ledger": ledgers.SummaryLedger(),
    "stopping": stopping.LastRound(),
}


class CoalitionWeights(NamedTuple):
    """Weights of K coalitions of n silos.

    Attributes:
        silos: The silos of the training.
        members: Who is in each coalition; bool [K, n].
        weights: Trainable weights after the last round, flattened in C order one after the other, as in the updates of
            a detailed ledger; float32 [K, P]. A coalition without silos has the initial ones.
    """

    silos: tuple[str, ...]
    members: np.ndarray
    weights: np.ndarray


def train(
    input_dict: Mapping[str, Sequence[types.Artifact]],
    federated_run_uri: str,
    module_file: str,
    coalitions: Sequence[Collection[str]],
    tff_python: str | None = None,
) -> CoalitionWeights:
    """Trains each coalition as the FederatedTrainer trained all silos.

    All rounds are run, and the last model is taken: a `BestRound` is not looked for.

    Args:
        input_dict: The trainer's inputs: `silo_examples`, `transform_graph` or `schema`, and `base_model` if it had
            one.
        federated_run_uri: URI of the FederatedRun of the training of all silos.
        module_file: Its module file.
        coalitions: Silos of each coalition, at least one coalition; a coalition may be empty.
        tff_python: The TFF interpreter; see `tff_process.find_tff_python`.

    Returns:
        The weights, in the order of `coalitions`.

    Raises:
        ValueError: The run is of other silo examples or another start, under privacy, or a coalition has an unknown
            silo or fewer silos than the aggregation needs.
        TffInterpreterError: There is no TFF interpreter.
        TrainingFailedError: A training stopped in the TFF interpreter.
    """
    python = tff_process.find_tff_python(tff_python)
    recorded = whole_files.read_json(os.path.join(federated_run_uri, "settings.json"))
    _require_no_privacy(recorded)
    properties = training_job.exec_properties(recorded, module_file) | {"local_models": 0, "evaluation_split": None}
    properties |= {name: json.dumps(encoding.encode(choice)) for name, choice in _WEIGHTS_ONLY.items()}
    with tempfile.TemporaryDirectory(prefix="tfx-federated-") as folder:
        directory = job_lib.JobDirectory(pathlib.Path(folder) / "job")
        job = training_job.write(directory, training_job.Inputs(input_dict, recorded["label_key"]), properties)
        _require_same_training(recorded, job, bool(input_dict.get("base_model")))
        _require_coalitions(coalitions, job)
        if input_dict.get("base_model"):
            warm_start.write_initial_weights(artifact_utils.get_single_uri(input_dict["base_model"]), directory)
        directory.coalitions.write_text(json.dumps([sorted(coalition) for coalition in coalitions]), "utf-8")
        result = tff_process.run_job(directory, python, _show)
        with np.load(result / "run" / "updates" / "coalitions.npz") as file:
            return CoalitionWeights(tuple(file["silos"].tolist()), file["members"], file["weights"])


def _require_no_privacy(recorded: Mapping[str, Any]) -> None:
    if recorded["privacy"]["type"] != privacy.NoPrivacy.__name__:
        raise ValueError(
            f"the training was under {recorded['privacy']['type']}: training coalitions would spend that privacy again "
            "for each; take a method without retraining"
        )


def _require_same_training(recorded: Mapping[str, Any], job: job_lib.TrainingJob, is_warm_start: bool) -> None:
    rows = {silo.silo: silo.count for silo in job.silos[job.train_split]}
    if rows != {silo: fields["rows"] for silo, fields in recorded["silos"].items()}:
        raise ValueError(
            f"the silo examples have other silos or rows in split {job.train_split!r} than the federated run; give the "
            "silo examples that it was trained on"
        )
    if is_warm_start != recorded["warm_start"]:
        raise ValueError(
            "the federated run began with the weights of a base_model, and the coalitions would not; give it"
            if recorded["warm_start"]
            else "the federated run began without a base_model; leave it out"
        )


def _require_coalitions(coalitions: Sequence[Collection[str]], job: job_lib.TrainingJob) -> None:
    silos = {silo.silo for silo in job.silos[job.train_split]}
    unknown = sorted({silo for coalition in coalitions for silo in coalition} - silos)
    if unknown:
        raise ValueError(f"a coalition has the silo {unknown[0]!r}, which the training does not have")
    sizes = {len(coalition) for coalition in coalitions if coalition}
    combinations.require_enough_silos(cohorts.AllSilos(), job.aggregation, min(sizes, default=len(silos)))


def _show(event: Mapping[str, Any]) -> None:
    if event["event"] == "coalition":
        logging.log_every_n_seconds(
            logging.INFO,
            "Trained %d of %d coalitions",
            _SECONDS_BETWEEN_MESSAGES,
            event["finished"],
            event["coalitions"],
        )
