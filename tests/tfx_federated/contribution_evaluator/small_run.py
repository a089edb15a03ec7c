"""A FederatedRun on disk, made without a trainer: federated averaging of a logistic regression in NumPy."""

import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from tff_runtime import job as job_lib
from tff_runtime.settings import encoding
from tfx_federated import artifacts

FEATURES = 3
ROWS = {"a": 60, "b": 40, "c": 25, "d": 12}
TRUTH = np.array([1.5, -2.0, 1.0])


class LogisticRegression(tf.Module):
    """Many logistic regressions; weights are those of the features, then the bias."""

    @tf.function(input_signature=[tf.TensorSpec((None, FEATURES + 1)), {"x": tf.TensorSpec((None, FEATURES))}])
    def predict(self, weights, features):
        logits = tf.einsum("cf,nf->cn", weights[:, :-1], features["x"]) + weights[:, -1:]
        return tf.sigmoid(logits)[..., tf.newaxis]


def predictions(weights, x):
    return 1 / (1 + np.exp(-(x @ weights[:-1] + weights[-1])))


def silo_rows(generator, count):
    x = generator.normal(size=(count, FEATURES)).astype(np.float32)
    y = (generator.random(count) < predictions(np.append(TRUTH, 0.0), x)).astype(np.float32)
    return x, y


def settings(rows, **changes):
    choices = {name: encoding.encode(default) for name, (_, default) in job_lib.CHOICES.items()}
    plain = {"rounds": 4, "server_optimizer": "sgd", "server_learning_rate": 1.0, "server_momentum": 0.0, "seed": 0}
    split = {"label_key": "y", "train_split": "train", "evaluation_split": "eval", "warm_start": False}
    silos = {silo: {"rows": count, "weight": float(count)} for silo, count in rows.items()}
    return {**choices, **plain, **split, "silos": silos, **changes}


class Federation:
    """Silos, their updates in each round, and the global weights; the server does SGD with learning rate 1.

    `asked(round, silo)` tells whether a silo takes part; `lies` maps silos to functions of (round, update) -> update;
    `flipped` are silos whose labels are the opposite.
    """

    def __init__(self, rows=None, rounds=4, seed=0, asked=lambda number, silo: True, lies=None, flipped=()):
        self.rows = dict(ROWS if rows is None else rows)
        generator = np.random.default_rng(seed)
        self.data = {silo: silo_rows(generator, count) for silo, count in self.rows.items()}
        for silo in flipped:
            x, y = self.data[silo]
            self.data[silo] = (x, 1 - y)
        self.rounds = []
        weights = np.zeros(FEATURES + 1, np.float32)
        for number in range(1, rounds + 1):
            cohort = [silo for silo in self.rows if asked(number, silo)]
            updates = [(lies or {}).get(silo, lambda _, update: update)(number, self.update(weights, silo))
                       for silo in cohort]  # fmt: skip
            self.rounds.append((number, cohort, weights, np.stack(updates).astype(np.float32)))
            weights = weights + self.mean(cohort, updates).astype(np.float32)
        self.final = weights

    def mean(self, silos, updates):
        return np.average(updates, axis=0, weights=[self.rows[silo] for silo in silos])

    def update(self, weights, silo):
        x, y = self.data[silo]
        moved = weights.astype(np.float64)
        for _ in range(5):
            error = predictions(moved, x) - y
            moved = moved - 0.5 * np.append(x.T @ error, error.sum()) / len(y)
        return moved - weights


def write(folder, federation, stored=None, **changes):
    """Writes a run with a detailed ledger; `stored` are the rounds whose updates are kept, all of them if None."""
    folder = write_summary(folder, federation, **changes)
    updates_folder = folder / "updates"
    updates_folder.mkdir()
    numbers = [number for number, *_ in federation.rounds]
    stored = numbers if stored is None else stored
    for number, cohort, weights, updates in federation.rounds:
        if number in stored:
            write_round(updates_folder, federation, number, cohort, weights, updates)
    index = {"format": 1, "parameters": FEATURES + 1, "rounds": stored, "variables": []}
    index["omitted_rounds"] = sorted(set(numbers) - set(stored))
    (updates_folder / "index.json").write_text(json.dumps(index))
    return str(folder)


def write_summary(folder, federation, **changes):
    """Writes a run without updates; the exported model is that of the last round but one, as a BestRound may be."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(settings(federation.rows, **changes)))
    lines = [json.dumps({"round": number}) + "\n" for number, *_ in federation.rounds]
    (folder / "rounds.jsonl").write_text("".join(lines))
    with (folder / "silo_updates.jsonl").open("w") as file:
        for number, cohort, _, updates in federation.rounds:
            write_lines(file, federation, number, cohort, updates)
    np.savez(
        folder / "weights.npz",
        initial=federation.rounds[0][2],
        last_round=federation.final,
        exported=federation.rounds[-1][2],
    )
    tf.saved_model.save(LogisticRegression(), str(folder / "model_function"))
    return folder


def write_lines(lines, federation, number, cohort, updates):
    mean = federation.mean(cohort, updates)
    for silo, update in zip(cohort, updates, strict=True):
        norms = np.linalg.norm(update) * np.linalg.norm(mean)
        line = {"round": number, "silo": silo, "rows": federation.rows[silo], "weight": float(federation.rows[silo])}
        line |= {"loss": 0.5, "loss_before": 0.6, "loss_after": 0.4, "update_norm": float(np.linalg.norm(update))}
        lines.write(json.dumps({**line, "cosine": float(update @ mean / norms) if norms else None}) + "\n")


def write_round(folder, federation, number, cohort, weights, updates):
    scales = np.abs(updates).max(axis=1)
    arrays = {
        "silos": np.array(cohort),
        "weights": np.array([federation.rows[silo] for silo in cohort], np.float32),
        "global": weights,
        "updates": (updates / np.where(scales, scales, 1)[:, np.newaxis]).astype(np.float16),
        "scales": scales.astype(np.float32),
    }
    np.savez(folder / f"round-{number:05d}.npz", **arrays)


def artifact(uri):
    run = artifacts.FederatedRun()
    run.uri = os.fspath(uri)
    return run
