"""Which silos train together in one compiled call.

A call costs the same for one small silo as for many: silos of like numbers of steps go together, as many as caches and
memory allow. A large model gains nothing, because its arithmetic costs more than the call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

# A group is padded to one of these sizes with silos that do nothing, so that few shapes are compiled.
GROUP_SIZES = (1, 4, 16, 64)
# Weights of a group: beyond this they leave the processor's caches, and silos are faster one at a time.
_LARGEST_GROUP_WEIGHTS = 2**19
# Rows of a group, padding included.
_LARGEST_GROUP_BYTES = 2**27
# A silo with fewer steps than this part of the group's longest would mostly wait.
_SMALLEST_PART = 0.5


@dataclasses.dataclass(frozen=True)
class SiloGroup:
    """Silos of one call.

    Attributes:
        positions: Their positions among the tasks of the round, those with the most steps first.
        size: One of `GROUP_SIZES`, at least the number of positions.
    """

    positions: tuple[int, ...]
    size: int


def form_groups(
    steps: Sequence[int],
    rows: Sequence[int],
    row_bytes: int,
    weights: int,
    threads: int,
    largest: int = GROUP_SIZES[-1],
) -> list[SiloGroup]:
    """Returns groups that together hold every silo once.

    Args:
        steps: Steps of each silo.
        rows: Rows of each silo.
        row_bytes: Bytes of a row.
        weights: Number of weights that a silo holds in training: those of the model, or of one for each row of a batch.
        threads: Groups that run at the same time.
        largest: Most silos in a group, if that is fewer than caches and memory allow.
    """
    limit = min(largest, _largest_size(weights, len(steps), threads))
    descending = sorted(range(len(steps)), key=lambda position: (-steps[position], position))
    groups: list[list[int]] = []
    for position in descending:
        if groups and _fits(groups[-1], position, steps, rows, row_bytes, limit):
            groups[-1].append(position)
        else:
            groups.append([position])
    return [SiloGroup(tuple(group), _padded_size(len(group))) for group in groups]


def _largest_size(weights: int, silos: int, threads: int) -> int:
    share = -(-silos // threads)
    return max(1, min(GROUP_SIZES[-1], _LARGEST_GROUP_WEIGHTS // weights, share))


def _fits(
    group: Sequence[int], position: int, steps: Sequence[int], rows: Sequence[int], row_bytes: int, limit: int
) -> bool:
    if len(group) == limit:
        return False
    size = _padded_size(len(group) + 1)
    longest = max(rows[member] for member in (*group, position))
    return steps[position] >= _SMALLEST_PART * steps[group[0]] and size * longest * row_bytes <= _LARGEST_GROUP_BYTES


def _padded_size(silos: int) -> int:
    return next(size for size in GROUP_SIZES if size >= silos)
