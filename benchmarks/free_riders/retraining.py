"""Exact Shapley values of silos, by training every coalition: what all cheaper ways are measured against."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn import metrics

from benchmarks.free_riders import federated_averaging, populations

SILOS = 8
_HELD_OUT_ROWS = 5_000


@dataclass(frozen=True)
class ExactValues:
    """What retraining tells.

    Attributes:
        values: Shapley value of each silo.
        gain: AUC of the model of all silos less that of no silo, which is a half; the values sum to it.
        seconds: Time that it took.
    """

    values: Mapping[str, float]
    gain: float
    seconds: float


def exact_values(table: populations.Table, seed: int) -> ExactValues:
    """Draws a federation of `SILOS` silos and trains all its 2^SILOS coalitions from the same initial weights.

    The utility is the AUC on held-out rows of all silos.
    """
    generator = np.random.default_rng(seed)
    drawn = populations.draw(table, generator)
    silos = [drawn[place] for place in np.sort(generator.choice(len(drawn), SILOS, replace=False))]
    held_out = generator.permutation(np.flatnonzero(table.is_held_out))[:_HELD_OUT_ROWS]
    settings = federated_averaging.Settings()
    network = federated_averaging.Network(table.features.shape[1], settings.hidden_units)
    begin = time.perf_counter()
    utilities = {0: 0.5}
    for coalition in range(1, 2**SILOS):
        members = [silo for place, silo in enumerate(silos) if coalition >> place & 1]
        weights = federated_averaging.train(members, settings, seed).final_weights
        logits = network.logits(weights, table.features[held_out])
        utilities[coalition] = float(metrics.roc_auc_score(table.labels[held_out], logits))
    values = shapley_values([utilities[coalition] for coalition in range(2**SILOS)])
    seconds = time.perf_counter() - begin
    named = {silo.name: value for silo, value in zip(silos, values, strict=True)}
    return ExactValues(named, utilities[2**SILOS - 1] - utilities[0], seconds)


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
