"""The workloads, drawn from a fixed seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from benchmarks.trainer import contract, network
from tff_runtime import silo_data

_SEED = 7
_BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Design:
    """How a workload is drawn.

    Attributes:
        layer_sizes: Number of features, then the units of each layer.
        draw_counts: Draws the rows of each silo.
        learning_rate: Learning rate of SGD.
    """

    layer_sizes: tuple[int, ...]
    draw_counts: Callable[[np.random.Generator], np.ndarray]
    learning_rate: float


def log_normal_counts(silos: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Returns sizes from 10 to 1,000 rows whose logarithm is normal, about 100 rows in the middle."""
    return lambda random: np.clip(random.lognormal(np.log(100), 0.9, silos), 10, 1000).astype(np.int64)


def power_law_counts(silos: int, largest: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Returns sizes of which number k is the largest divided by k."""
    return lambda random: largest // np.arange(1, silos + 1)


DESIGNS = {
    "logistic_100": Design((32, 1), log_normal_counts(100), 0.1),
    "logistic_1000": Design((32, 1), log_normal_counts(1000), 0.1),
    "mlp_16x51200": Design((20, 64, 1), lambda random: np.full(16, 51_200), 0.05),
    # A larger rate makes so wide a network amplify rounding errors until the final losses differ by more than allowed.
    "wide_mlp_20": Design((512, 512, 512, 1), power_law_counts(20, 2048), 0.01),
}


def silo_name(number: int) -> str:
    """Returns the id of a silo, which its order of rows is drawn from."""
    return f"silo-{number:06d}"


def draw(name: str, design: Design, rounds: int) -> contract.Workload:
    """Draws a workload.

    Args:
        name: Name of the workload.
        design: How to draw it.
        rounds: Rounds to draw the order of rows for.

    Returns:
        The workload.
    """
    random = np.random.default_rng(_SEED)
    counts = design.draw_counts(random)
    features = random.standard_normal((counts.sum(), design.layer_sizes[0]), np.float32)
    direction = random.standard_normal((design.layer_sizes[0], 1), np.float32) / np.sqrt(design.layer_sizes[0])
    silo_shift = np.repeat(random.standard_normal((len(counts), 1), np.float32), counts, axis=0)
    probability = 1 / (1 + np.exp(-3 * (features @ direction) - silo_shift))
    return contract.Workload(
        name=name,
        batch_size=_BATCH_SIZE,
        learning_rate=design.learning_rate,
        seed=_SEED,
        weights=network.initial_weights(random, design.layer_sizes),
        features=features,
        labels=(random.random(probability.shape) < probability).astype(np.float32),
        counts=counts,
        order=np.stack([_order(counts, round_number) for round_number in range(1, rounds + 1)]),
    )


def _order(counts: np.ndarray, round_number: int) -> np.ndarray:
    """Returns the order of rows of one round: that of the trainer, which every contender is given."""
    starts = np.cumsum(counts) - counts
    return np.concatenate(
        [
            start + np.concatenate(silo_data.batch_indices(int(count), _BATCH_SIZE, _SEED, round_number, 0, name))
            for start, count, name in zip(starts, counts, map(silo_name, range(len(counts))), strict=True)
        ]
    ).astype(np.int32)
