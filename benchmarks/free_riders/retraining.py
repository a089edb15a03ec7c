"""Exact Shapley values of silos, by training every coalition: what all cheaper ways are measured against."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import threadpoolctl
from sklearn import metrics

from benchmarks.data import tables
from benchmarks.free_riders import federated_averaging, populations

_HELD_OUT_ROWS = 5_000


@dataclass(frozen=True)
class Federation:
    """Silos, and rows to measure models on.

    Attributes:
        silos: Their training rows.
        features: Held-out rows of all silos, [rows, features].
        labels: Theirs, 0 or 1, [rows].
    """

    silos: Sequence[tables.SiloRows]
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]


@dataclass(frozen=True)
class ExactValues:
    """What retraining tells.

    Attributes:
        values: Shapley value of each silo, [silos].
        gain: AUC of the model of all silos less that of no silo, which is a half; the values sum to it.
        seconds: Time that it took.
    """

    values: Sequence[float]
    gain: float
    seconds: float


def draw(table: tables.Table, seed: int, silos: int) -> Federation:
    """Draws a federation of so many silos."""
    generator = np.random.default_rng(seed)
    drawn = populations.draw(table, generator)
    chosen = np.sort(generator.choice(len(drawn), silos, replace=False))
    held_out = generator.permutation(np.flatnonzero(table.is_held_out))[:_HELD_OUT_ROWS]
    return Federation([drawn[place] for place in chosen], table.features[held_out], table.labels[held_out])


def exact_values(federation: Federation, settings: federated_averaging.Settings, seed: int) -> ExactValues:
    """Trains all coalitions from the same initial weights; the utility is the AUC on the held-out rows.

    Args:
        federation: The silos.
        settings: How they train.
        seed: Of the trainings.
    """
    network = federated_averaging.Network(federation.features.shape[1], settings.hidden_units)
    silos = len(federation.silos)
    begin = time.perf_counter()
    utilities = [0.5]
    # Several threads slow down products of so small matrices.
    with threadpoolctl.threadpool_limits(1):
        for coalition in range(1, 2**silos):
            members = [silo for place, silo in enumerate(federation.silos) if coalition >> place & 1]
            weights = federated_averaging.train(members, settings, seed).final_weights
            logits = network.logits(weights, federation.features)
            utilities.append(float(metrics.roc_auc_score(federation.labels, logits)))
    values = shapley_values(utilities)
    return ExactValues(values, utilities[-1] - utilities[0], time.perf_counter() - begin)


def shapley_values(utilities: Sequence[float]) -> list[float]:
    """Returns the Shapley value of each player.

    Source: Shapley, A value for n-person games (1953), equation 13.

    Args:
        utilities: Of each coalition, [2^players]; player p is in coalition c if bit p of c is set.
    """
    players = len(utilities).bit_length() - 1
    values = [0.0] * players
    for coalition, utility in enumerate(utilities):
        for player in range(players):
            if not coalition >> player & 1:
                size = coalition.bit_count()
                orders = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
                values[player] += orders * (utilities[coalition | 1 << player] - utility)
    return values
