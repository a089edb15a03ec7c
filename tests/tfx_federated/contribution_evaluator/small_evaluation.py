"""Held-out rows and local models for the silos of `small_run`."""

import numpy as np

from tests.tfx_federated.contribution_evaluator.small_run import FEATURES, silo_rows
from tfx_federated.contribution_evaluator import evaluation, held_out_rows, methods, own_models, utilities
from tfx_federated.statistics import evidence

ROWS = {"large": 300, "idle": 80, "late": 120, "middle": 60, "small": 12}
HELD_OUT = {"large": 400, "idle": 100, "late": 150, "middle": 80, "small": 6, "stranger": 30}


def held_out(counts=None, seed=7, labels=None):
    counts = HELD_OUT if counts is None else counts
    generator = np.random.default_rng(seed)
    data = [silo_rows(generator, counts[silo]) for silo in sorted(counts)]
    y = np.concatenate([label for _, label in data]).astype(np.float64)
    return held_out_rows.HeldOutRows(
        silos=sorted(counts),
        ends=np.cumsum([counts[silo] for silo in sorted(counts)]),
        features={"x": np.concatenate([x for x, _ in data])},
        labels=y if labels is None else np.full(len(y), float(labels)),
    )


def local_models(silos=tuple(ROWS), seed=1):
    """Weights of no use for one silo, and useful ones for the others."""
    weights = np.random.default_rng(seed).normal(size=(len(silos), FEATURES + 1)).astype(np.float32)
    return own_models.OwnModels({silo: place for place, silo in enumerate(silos)}, weights)


def settings(**changes):
    asked = {
        "split": "eval",
        "utility": utilities.OverallMetric(),
        "method": methods.FederatedShapley(),
        "minimums": evidence.Minimums(20, 5, 5),
        "confidence": 0.95,
        "false_discovery_rate": 0.05,
        "seed": 0,
    }
    return evaluation.Settings(**{**asked, **changes})


def evaluate(ledger, function, rows=None, own=None, train=None, **changes):
    own = {evaluation.LOCAL: local_models()} if own is None else own
    rows = held_out() if rows is None else rows
    return evaluation.evaluate(ledger, rows, evaluation.Models(function, own), settings(**changes), train)
