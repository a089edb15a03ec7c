"""What only the updates tell: how each silo's change from round to round, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfx_federated.contribution_evaluator.detection import vectors
from tfx_federated.contribution_evaluator.detection.ledger import Ledger
from tfx_federated.contribution_evaluator.detection.vectors import Array, Vectors

# Of a larger model, so many weights are looked at. What a free rider copies or invents shows in any part of the model.
MAXIMUM_PARAMETERS = 2**16

# Updates are stored with 11 significant bits: a smaller share of the squared norm is rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class UpdateTraits:
    """What only the stored updates tell.

    The *own part* of an update is what remains of it without its projection on the change of the global model since
    the silo was last asked, which the silo knows without having any rows.

    Attributes:
        own_share: Share of the own part in the squared norm, [rounds, silos]; NaN in a silo's first round.
        repetition: Norm of the difference to the silo's update before, over the norm, [rounds, silos].
        persistence: Cosine of the own part and the silo's own part before, [rounds, silos].
        profile: Share of each weight in the squared norms of the own parts, [silos, parameters]; 0 without any.
        mean_update: Mean update after the first round, [silos, parameters].
        frequency: Direction, of norm 1, in which silos first learn how frequent each label is: the mean of the first
            round's updates at norm 1, of the smaller half of the silos, who in a few steps learn little else,
            [parameters].
    """

    own_share: Array
    repetition: Array
    persistence: Array
    profile: Vectors
    mean_update: Vectors
    frequency: Vectors


def compare(ledger: Ledger) -> UpdateTraits:
    """Reads all stored updates, round by round.

    Args:
        ledger: With at least one round of stored updates.
    """
    settled = set(vectors.after_first(np.asarray(ledger.update_rounds)).tolist())
    position = {silo: index for index, silo in enumerate(ledger.silos)}
    place = {number: index for index, number in enumerate(ledger.rounds)}
    shape = (len(ledger.rounds), len(ledger.silos))
    own_share, repetition, persistence = (np.full(shape, np.nan) for _ in range(3))
    memory: _Memory | None = None
    for number, cohort, global_weights, updates in _stored_rounds(ledger):
        silos = np.array([position[silo] for silo in cohort])
        if memory is None:
            memory = _Memory.empty(shape[1], _frequency(updates, ledger.rows[place[number], silos]))
        compared = memory.compare(silos, global_weights, updates)
        for values, found in zip((own_share, repetition, persistence), compared, strict=True):
            values[place[number], silos] = found
        if number in settled:
            memory.add(silos, updates)
    assert memory is not None
    return UpdateTraits(own_share, repetition, persistence, memory.profile(), memory.mean_update(), memory.frequency)


def _frequency(updates: Vectors, rows: Array) -> Vectors:
    mean_update = vectors.unit(updates[rows <= np.median(rows)]).mean(axis=0)
    return vectors.unit(mean_update[np.newaxis])[0]


def _stored_rounds(ledger: Ledger) -> Iterator[tuple[int, Sequence[str], Vectors, Vectors]]:
    chosen: npt.NDArray[np.int64] | slice = slice(None)
    for number in ledger.update_rounds:
        cohort, _, global_weights, updates = ledger.updates(number)
        if len(global_weights) > MAXIMUM_PARAMETERS:
            if isinstance(chosen, slice):
                drawn = np.random.default_rng(0).choice(len(global_weights), MAXIMUM_PARAMETERS, replace=False)
                chosen = np.sort(drawn)
            global_weights, updates = global_weights[chosen], updates[:, chosen]
        yield number, cohort, global_weights, updates


@dataclass
class _Memory:
    """What is kept of the rounds so far, [silos, parameters] each but for the frequency's direction."""

    frequency: Vectors
    last_update: Vectors
    last_own: Vectors
    last_global: Vectors
    squares: Vectors
    total: Vectors
    seen: npt.NDArray[np.bool_]
    count_of_rounds: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, silos: int, frequency: Vectors) -> _Memory:
        zeros = np.zeros((silos, len(frequency)), np.float32)
        return cls(
            frequency,
            last_update=zeros,
            last_own=zeros.copy(),
            last_global=zeros.copy(),
            squares=zeros.copy(),
            total=zeros.copy(),
            seen=np.zeros(silos, np.bool_),
            count_of_rounds=np.zeros(silos, np.int64),
        )

    def compare(self, silos: npt.NDArray[np.int64], global_weights: Vectors, updates: Vectors) -> list[Array]:
        """Returns own share, repetition and persistence of a round's updates, [cohort] each."""
        change = global_weights - self.last_global[silos]
        along = vectors.products(updates, change) / np.maximum(
            vectors.products(change, change), np.finfo(np.float64).tiny
        )
        own = updates - along[:, np.newaxis].astype(np.float32) * change
        squared_norm = vectors.products(updates, updates)
        own_norm = vectors.products(own, own)
        difference = updates - self.last_update[silos]
        with np.errstate(divide="ignore", invalid="ignore"):
            own_share = np.minimum(own_norm / squared_norm, 1.0)
            repetition = np.sqrt(vectors.products(difference, difference) / squared_norm)
        known = self.seen[silos] & (squared_norm > 0)
        has_own = known & (own_norm > _ROUNDING * squared_norm)
        self.squares[silos[has_own]] += np.square(own[has_own]) / own_norm[has_own, np.newaxis].astype(np.float32)
        # Of a silo's first round there is no own part: what it knew of the global model is not known.
        own[~has_own] = 0
        persistence = vectors.row_cosines(own, self.last_own[silos])
        self.last_update[silos], self.last_own[silos] = updates, own
        self.last_global[silos], self.seen[silos] = global_weights, True
        return [np.where(known, values, np.nan) for values in (own_share, repetition, persistence)]

    def add(self, silos: npt.NDArray[np.int64], updates: Vectors) -> None:
        self.total[silos] += updates
        self.count_of_rounds[silos] += 1

    def profile(self) -> Vectors:
        return self.squares / np.maximum(self.squares.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)

    def mean_update(self) -> Vectors:
        return self.total / np.maximum(self.count_of_rounds, 1).astype(np.float32)[:, np.newaxis]
