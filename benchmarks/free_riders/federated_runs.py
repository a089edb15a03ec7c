"""A simulated training as a FederatedRun on disk, which the ContributionEvaluator reads like that of the trainer."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import tensorflow as tf

from benchmarks.free_riders import federated_averaging, ledgers
from tff_runtime import job as job_lib
from tff_runtime.settings import encoding
from tfx_federated.contribution_evaluator import federated_run

FEATURES = "features"


class NetworkFunction(tf.Module):
    """`federated_averaging.Network` as a function of many weights, as the trainer saves its models."""

    def __init__(self, network: federated_averaging.Network) -> None:
        """Takes the network."""
        super().__init__()
        self._shapes = list(network.shapes.values())
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        features = {FEATURES: tf.TensorSpec((None, self._shapes[0][0]))}
        self.predict = tf.function(
            self._predictions, input_signature=[tf.TensorSpec((None, sum(self._sizes))), features]
        )

    def _predictions(self, weights: tf.Tensor, features: dict[str, tf.Tensor]) -> tf.Tensor:
        parts = tf.split(weights, self._sizes, axis=1)
        kernel, bias, out, out_bias = (
            tf.reshape(part, (-1, *shape)) for part, shape in zip(parts, self._shapes, strict=True)
        )
        hidden = tf.nn.relu(features[FEATURES] @ kernel + bias[:, tf.newaxis])
        return tf.sigmoid(hidden @ out + out_bias[:, tf.newaxis])


def write(
    folder: pathlib.Path,
    run: federated_averaging.Run,
    network: federated_averaging.Network,
    is_detailed: bool = True,
) -> federated_run.Ledger:
    """Writes a run and reads its ledger.

    Args:
        folder: Where to write, a new folder.
        run: The training.
        network: What was trained.
        is_detailed: Whether to write the updates.
    """
    ledger = ledgers.SimulatedLedger(run)
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(_settings(run)))
    (folder / "rounds.jsonl").write_text("".join(json.dumps({"round": number}) + "\n" for number in ledger.rounds))
    with (folder / "silo_updates.jsonl").open("w") as file:
        for place, number in enumerate(ledger.rounds):
            numbers = {
                name: getattr(ledger, name)[place].tolist()
                for name in ("rows", "weight", "loss_before", "update_norm", "cosine")
            }
            for silo, name in enumerate(run.silos):
                values = {key: value[silo] for key, value in numbers.items()}
                file.write(json.dumps({"round": number, "silo": name, **values}) + "\n")
    final, initial = run.final_weights, run.rounds[0].global_weights
    np.savez(folder / "weights.npz", initial=initial, last_round=final, exported=final)
    tf.saved_model.save(NetworkFunction(network), str(folder / "model_function"))
    if is_detailed:
        _write_updates(folder / "updates", run)
    return federated_run.read(str(folder))


def _settings(run: federated_averaging.Run) -> dict[str, object]:
    choices = {name: encoding.encode(default) for name, (_, default) in job_lib.CHOICES.items()}
    server = {"server_optimizer": "sgd", "server_learning_rate": 1.0, "server_momentum": 0.0}
    silos = {
        silo: {"rows": rows, "weight": float(rows)} for silo, rows in zip(run.silos, run.rows.tolist(), strict=True)
    }
    return {**choices, **server, "silos": silos}


def _write_updates(folder: pathlib.Path, run: federated_averaging.Run) -> None:
    folder.mkdir()
    for number, turn in enumerate(run.rounds, start=1):
        scales = np.abs(turn.updates).max(axis=1)
        arrays = {
            "silos": np.array(run.silos),
            "weights": run.rows.astype(np.float32),
            "global": turn.global_weights,
            "updates": (turn.updates / np.where(scales, scales, 1)[:, np.newaxis]).astype(np.float16),
            "scales": scales.astype(np.float32),
        }
        np.savez(folder / f"round-{number:05d}.npz", **arrays)
    rounds = list(range(1, len(run.rounds) + 1))
    index = {"format": federated_run.UPDATES_FORMAT, "rounds": rounds, "omitted_rounds": []}
    (folder / "index.json").write_text(json.dumps(index))
