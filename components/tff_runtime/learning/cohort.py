"""Which silos take part in a round; only the seed and the round decide."""

from __future__ import annotations

from typing import Any

import numpy as np

from tff_runtime.settings import cohorts

# Keeps the draws apart from those of the rows' order, which use the same seed.
_STREAM = 0x636F686F


def draw(setting: Any, rows: np.ndarray, seed: int, round_number: int) -> list[int]:
    """Returns the numbers of the silos of a round in ascending order.

    Args:
        setting: One of `cohorts.ALTERNATIVES`, no larger than the number of silos.
        rows: Rows of every silo, shape `(silos,)`.
        seed: Seed of the training.
        round_number: The round; the first is 1.
    """
    silos = len(rows)
    if isinstance(setting, cohorts.AllSilos):
        return list(range(silos))
    if isinstance(setting, cohorts.RoundRobin):
        return sorted(_in_turn(setting.size, silos, seed, round_number))
    generator = np.random.default_rng([_STREAM, seed, round_number])
    by_size = rows / rows.sum() if isinstance(setting, cohorts.SampleBySize) else None
    return sorted(generator.choice(silos, setting.size, replace=False, p=by_size).tolist())


def _in_turn(size: int, silos: int, seed: int, round_number: int) -> list[int]:
    order = np.random.default_rng([_STREAM, seed]).permutation(silos)
    first = (round_number - 1) * size
    return [int(order[position % silos]) for position in range(first, first + size)]
