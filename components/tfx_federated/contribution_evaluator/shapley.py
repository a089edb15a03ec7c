"""Shapley values of a cooperative game: exact, and from sampled permutations.

A game is a function of coalitions, [coalitions, players] of bool, to their values, [coalitions]: many at once, so that
a call can evaluate them together.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfx_federated.contribution_evaluator.round_reconstruction import Masks

Vector = npt.NDArray[np.float64]
Orders = npt.NDArray[np.int64]
Game = Callable[[Masks], Vector]

MOST_PLAYERS = 20
# Coalitions of a call.
_BLOCK = 2**12


class Estimate(NamedTuple):
    """Values of players.

    Attributes:
        values: [players].
        standard_errors: Of the sampling, [players]; 0 for exact values.
    """

    values: Vector
    standard_errors: Vector


class RememberedGame:
    """A game that is asked for each coalition once.

    Attributes:
        players: Number of players.
    """

    def __init__(self, game: Game, players: int) -> None:
        """Remembers another game.

        Args:
            game: The game; it is never asked for the same coalition twice.
            players: Number of players, at least 1.
        """
        self.players = players
        self._game = game
        self._known: dict[bytes, float] = {}

    def __call__(self, coalitions: Masks) -> Vector:
        """Returns the values of coalitions, [coalitions]."""
        keys = [row.tobytes() for row in np.packbits(coalitions, axis=1)]
        new = {key: place for place, key in enumerate(keys) if key not in self._known}
        if new:
            values = self._game(coalitions[list(new.values())])
            self._known.update(zip(new, values.tolist(), strict=True))
        return np.array([self._known[key] for key in keys])

    @functools.cached_property
    def ends(self) -> tuple[float, float]:
        """Values of nobody and of all players."""
        empty, whole = self(np.stack([np.zeros(self.players, np.bool_), np.ones(self.players, np.bool_)])).tolist()
        return empty, whole

    @property
    def evaluations(self) -> int:
        """Number of coalitions that were asked for."""
        return len(self._known)


def exact(game: RememberedGame) -> Estimate:
    """Returns the Shapley values.

    Source: Shapley, "A value for n-person games" (1953), equation 13: what a player adds to each coalition S without
    it, times |S|! (n - |S| - 1)! / n!.

    Args:
        game: Of at most `MOST_PLAYERS` players; it is asked for all 2^players coalitions.

    Raises:
        ValueError: There are more players.
    """
    players = game.players
    if players > MOST_PLAYERS:
        raise ValueError(f"{players} players have too many coalitions for exact Shapley values; sample permutations")
    values = np.concatenate([game(_coalitions(numbers, players)) for numbers in _blocks(2**players)])
    sizes = np.array([number.bit_count() for number in range(2**players)])
    weights = np.array(
        [1 / (players * math.comb(players - 1, size)) if size < players else 0.0 for size in range(players + 1)]
    )
    result = np.empty(players)
    numbers = np.arange(2**players)
    for player in range(players):
        without = numbers[numbers >> player & 1 == 0]
        result[player] = weights[sizes[without]] @ (values[without | 1 << player] - values[without])
    return Estimate(result, np.zeros(players))


def sampled(game: RememberedGame, permutations: int, generator: np.random.Generator) -> Estimate:
    """Returns Shapley values estimated from random permutations of the players.

    Source: Castro, Gomez and Tejada, Computers and Operations Research 36 (2009), 1726-1730, "ApproShapley". The values
    sum to the value of all players less that of nobody, in each permutation.

    Args:
        game: The game.
        permutations: At least 2.
        generator: Source of random numbers.
    """
    orders = generator.permuted(np.tile(np.arange(game.players), (permutations, 1)), axis=1)
    return of_marginals(marginals(game, orders))


def marginals(game: Game, orders: Orders) -> npt.NDArray[np.float64]:
    """Returns what each player adds to those before it in each order, [orders, players].

    Args:
        game: The game.
        orders: Permutations of the players, [orders, players].
    """
    count, players = orders.shape
    rank = np.argsort(orders, axis=1)
    # Coalition j of an order holds those whose rank is below j.
    coalitions = rank[:, np.newaxis, :] < np.arange(players + 1)[np.newaxis, :, np.newaxis]
    values = game(coalitions.reshape(-1, players)).reshape(count, players + 1)
    return np.take_along_axis(np.diff(values, axis=1), rank, axis=1)


def of_marginals(observed: npt.NDArray[np.float64]) -> Estimate:
    """Returns the means over at least two orders and their standard errors.

    Args:
        observed: As of `marginals`.
    """
    return Estimate(observed.mean(axis=0), observed.std(axis=0, ddof=1) / math.sqrt(len(observed)))


def _blocks(count: int) -> list[npt.NDArray[np.int64]]:
    return np.array_split(np.arange(count), -(-count // _BLOCK))


def _coalitions(numbers: npt.NDArray[np.int64], players: int) -> Masks:
    return (numbers[:, np.newaxis] >> np.arange(players) & 1).astype(np.bool_)
