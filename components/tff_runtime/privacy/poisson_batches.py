"""Poisson batches: in each step, each row of a silo is in the batch with the same probability, independent of all else.

This is the sampling that the accountant assumes. Shuffled batches of fixed size, accounted for as if they were Poisson
batches, protect less than stated (Chua et al., arXiv 2403.17673).
"""

from __future__ import annotations

import dataclasses
import math
import secrets
from collections.abc import Sequence

import numpy as np
from scipy import stats

# How likely a draw is to need more room than most, which costs a compilation and nothing else.
_EXCESS_PROBABILITY = 1e-6


@dataclasses.dataclass(frozen=True)
class PoissonSampling:
    """The sampling of one silo in one round.

    Attributes:
        rows: Rows of the silo. The number is public: probability and steps follow from it.
        batch_size: Rows that a batch is meant to have.
        steps: Batches in a round.
    """

    rows: int
    batch_size: int
    steps: int

    @property
    def probability(self) -> float:
        """Probability of a row to be in a batch, in (0, 1]."""
        return min(1.0, self.batch_size / self.rows)

    @property
    def expected_batch_size(self) -> float:
        """Expected number of rows in a batch."""
        return min(self.rows, self.batch_size)


def sampling(rows: int, batch_size: int, local_epochs: int) -> PoissonSampling:
    """Returns the sampling of a silo that meets each of its rows about `local_epochs` times a round."""
    return PoissonSampling(rows, batch_size, local_epochs * math.ceil(rows / batch_size))


def capacity(batch_size: int) -> int:
    """Returns how many rows nearly all batches find room in: no more than one in a million is larger."""
    return int(stats.poisson.isf(_EXCESS_PROBABILITY, batch_size))


def draw(samplings: Sequence[PoissonSampling]) -> list[np.ndarray]:
    """Draws the batches of one round.

    The randomness is the operating system's, never the job's seed: who knows which rows were drawn is promised less. A
    round that is run again draws again. No drawn row is left out, which the accountant would not cover: where a batch
    does not fit, all get twice the room.

    Args:
        samplings: One for each silo, all with the same batch size.

    Returns:
        Row numbers of each step's batch, in ascending order, then -1 for padding; int32, of shape `(steps, room)` for
        each silo. The room is `capacity` rows, or twice as many, or four times.
    """
    random = np.random.default_rng(secrets.randbits(128))
    places = [_included(sampled, random) for sampled in samplings]
    room = capacity(samplings[0].batch_size)
    largest = max(int(np.bincount(step, minlength=1).max()) for step, _ in places)
    while room < largest:
        room *= 2
    return [_order(sampled.steps, room, *place) for sampled, place in zip(samplings, places, strict=True)]


def _included(sampled: PoissonSampling, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps, in order, and the rows that are in them."""
    # Between two successes of independent trials lies a geometric number of trials: the work is that of the rows drawn,
    # not of all rows in all steps.
    trials = sampled.steps * sampled.rows
    gaps = int(1.1 * trials * sampled.probability) + 100
    positions = np.cumsum(random.geometric(sampled.probability, gaps)) - 1
    while positions[-1] < trials:
        further = positions[-1] + np.cumsum(random.geometric(sampled.probability, gaps))
        positions = np.concatenate([positions, further])
    step, row = np.divmod(positions[positions < trials], sampled.rows)
    return step, row


def _order(steps: int, room: int, step: np.ndarray, row: np.ndarray) -> np.ndarray:
    order = np.full((steps, room), -1, np.int32)
    first_of_step = np.searchsorted(step, np.arange(steps))
    order[step, np.arange(len(step)) - first_of_step[step]] = row
    return order
