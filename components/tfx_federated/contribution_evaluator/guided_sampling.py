"""Shapley values from permutations that are guided and cut short: the inner part of GTG-Shapley.

Source: Liu, Chen, Liu, Yu and Yang, "GTG-Shapley: efficient and accurate participant contribution evaluation in
federated learning", ACM TIST 13 (2022), arXiv 2109.02053, algorithm 1. Two things differ: many permutations go on
together, and some steps of each, so that one call evaluates many models; and sampling ends by the values' standard
errors, where the paper compares values with former ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfx_federated.contribution_evaluator import shapley

# Permutations that go on together, at most, and coalitions that are asked for together, about.
_TOGETHER = 16
_COALITIONS = 64


@dataclass(frozen=True)
class Limits:
    """When to stop.

    Attributes:
        truncation: How close to the value of all players an order's value must be for the rest of it to add nothing;
            a share of what all players change, at least 0.
        relative_error: The mean standard error is at most this share of the mean absolute value.
        minimum_permutations: Permutations, at least.
        maximum_evaluations: Coalitions to ask for, about.
    """

    truncation: float
    relative_error: float
    minimum_permutations: int
    maximum_evaluations: float


def estimate(game: shapley.RememberedGame, limits: Limits, generator: np.random.Generator) -> shapley.Estimate:
    """Returns the Shapley values of a game; they are exact once all coalitions were asked for.

    Args:
        game: The game.
        limits: When to stop.
        generator: Source of random numbers.
    """
    empty, whole = game.ends
    tolerance = limits.truncation * abs(whole - empty)
    # A budget for less than two permutations has no standard error.
    together = int(np.clip(limits.maximum_evaluations // game.players, 2, _TOGETHER))
    orders = guided_orders(game.players, generator)
    observed = np.empty((0, game.players))
    while True:
        block = np.stack(list(itertools.islice(orders, together)))
        observed = np.concatenate([observed, truncated_marginals(game, block, tolerance)])
        result = shapley.of_marginals(observed)
        is_precise = result.standard_errors.mean() <= limits.relative_error * np.abs(result.values).mean()
        is_sampled = is_precise and len(observed) >= limits.minimum_permutations
        if game.evaluations == 2**game.players:
            return shapley.exact(game)
        if is_sampled or game.evaluations >= limits.maximum_evaluations:
            return result


def guided_orders(players: int, generator: np.random.Generator) -> Iterator[shapley.Orders]:
    """Yields permutations in which the players take turns in coming first: what comes first adds most."""
    while True:
        for first in generator.permutation(players):
            rest = np.delete(np.arange(players), first)
            yield np.concatenate([[first], generator.permutation(rest)])


def truncated_marginals(
    game: shapley.RememberedGame, orders: shapley.Orders, tolerance: float
) -> npt.NDArray[np.float64]:
    """Returns what each player adds to those before it in each order, [orders, players].

    From where an order's value is closer than the tolerance to that of all players, the rest adds nothing.

    Args:
        game: The game.
        orders: Permutations of the players, [orders, players].
        tolerance: At least 0.
    """
    empty, whole = game.ends
    players = orders.shape[1]
    rank = np.argsort(orders, axis=1)
    result = np.zeros(orders.shape)
    value = np.full(len(orders), empty)
    position = 0
    while position < players:
        going = np.flatnonzero(np.abs(whole - value) >= tolerance)
        if not len(going):
            break
        # Some places at once: what is asked for after an order's end is not used.
        sizes = np.arange(position, min(players, position + max(1, _COALITIONS // len(going)))) + 1
        coalitions = rank[going, np.newaxis, :] < sizes[:, np.newaxis]
        following = game(coalitions.reshape(-1, players)).reshape(len(going), len(sizes))
        for place, values in zip(range(position, position + len(sizes)), following.T, strict=True):
            before = value[going]
            value[going] = np.where(np.abs(whole - before) >= tolerance, values, before)
            result[going, orders[going, place]] = value[going] - before
        position += len(sizes)
    return result
