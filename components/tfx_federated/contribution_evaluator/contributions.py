"""What each silo gave to a training; where rounds are games of their silos, values are summed over rounds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tfx_federated.contribution_evaluator import (
    coalition_utility,
    federated_run,
    methods,
    own_models,
    round_reconstruction,
    shapley,
)
from tfx_federated.contribution_evaluator.shapley import Vector

# Models whose weights are held at once.
_TOGETHER = 64


class NotComputedError(Exception):
    """A method cannot be computed for this training; the message says why."""


@dataclass(frozen=True, eq=False)
class Contribution:
    """What each silo gave. Arrays are [silos], NaN for a silo of which no round was looked at.

    Attributes:
        method: The settings.
        values: Contribution.
        standard_errors: Of the sampling of coalitions; 0 where nothing is sampled.
        gained: The utility that the values share out; None where they are no shares of a utility.
        rounds: Rounds that were looked at.
        skipped_rounds: Those whose change was too small to be shared out.
        by_round: Contribution in each of `rounds`, [rounds, silos], NaN where the silo did not take part; None without
            rounds.
        evaluations: Models that were evaluated.
        groups: Silos that share one value; empty if each has its own.
    """

    method: methods.Plain
    values: Vector
    standard_errors: Vector
    gained: float | None
    rounds: Sequence[int] = ()
    skipped_rounds: Sequence[int] = ()
    by_round: npt.NDArray[np.float64] | None = None
    evaluations: int = 0
    groups: Sequence[Sequence[str]] = field(default_factory=tuple)

    @property
    def efficiency_gap(self) -> float | None:
        """What of the gain the values do not share out: by the axiom of efficiency 0, but for what is cut short."""
        return None if self.gained is None else self.gained - float(np.nansum(self.values))


class CoalitionModels(Protocol):
    """Models of coalitions that are made without training."""

    @property
    def silos(self) -> npt.NDArray[np.int64]:
        """Positions of the players in the ledger's silos, [players]."""

    def models(self, coalitions: round_reconstruction.Masks) -> federated_run.Vectors:
        """Returns weights, [coalitions, parameters].

        Args:
            coalitions: Who takes part, [coalitions, players].
        """


class ModelGame(shapley.RememberedGame):
    """Models of coalitions as a game: silos are the players, the utility of their model is the value.

    Attributes:
        silos: Positions of the players in the ledger's silos, [players].
    """

    def __init__(self, coalitions: CoalitionModels, utility: coalition_utility.CoalitionUtility) -> None:
        """Takes the models, and what they are worth."""

        def values(members: round_reconstruction.Masks) -> Vector:
            blocks = range(0, len(members), _TOGETHER)
            return np.concatenate([utility(coalitions.models(members[at : at + _TOGETHER])) for at in blocks])

        super().__init__(values, len(coalitions.silos))
        self.silos = coalitions.silos


@dataclass(frozen=True, eq=False)
class Training:
    """A training whose gain is shared out.

    Attributes:
        ledger: Its ledger.
        utility: What is gained.
        local_models: Models that silos trained alone by the same steps from the same initial weights; None without.
    """

    ledger: federated_run.Ledger
    utility: coalition_utility.CoalitionUtility
    local_models: own_models.OwnModels | None = None

    @functools.cached_property
    def gained(self) -> float:
        """What the training gained, from before the first stored round to the last weights.

        Raises:
            NotComputedError: There are no stored updates.
        """
        self.require_updates()
        first = self.ledger.updates(self.ledger.update_rounds[0]).global_weights
        before, after = self.utility(np.stack([first, self.ledger.last_round_weights()]))
        return float(after - before)

    def changes(self) -> Vector:
        """Returns what each of the ledger's `update_rounds` changed, [rounds].

        Raises:
            NotComputedError: There are no stored updates.
        """
        return np.array([game.ends[1] - game.ends[0] for _, game in self.games()])

    def games(self) -> Iterator[tuple[int, ModelGame]]:
        """Yields number and game of the stored rounds, one at a time in memory.

        Raises:
            NotComputedError: There are no stored updates.
        """
        self.require_updates()
        for rebuilt in round_reconstruction.rebuilt_rounds(self.ledger):
            yield rebuilt.number, ModelGame(rebuilt, self.utility)

    def require_few_silos(self, method: methods.GtgShapley | methods.LocalModelsShapley | methods.Retraining) -> None:
        """Refuses more silos than a method takes.

        Raises:
            NotComputedError: There are more.
        """
        silos = len(self.ledger.silos)
        if silos > method.maximum_silos:
            raise NotComputedError(
                f"there are {silos} silos, more than {type(method).__name__}'s maximum_silos of {method.maximum_silos}"
            )

    def require_updates(self) -> None:
        """Refuses a training whose rounds cannot be rebuilt.

        Raises:
            NotComputedError: It is one; the message says why.
        """
        if reason := round_reconstruction.why_impossible(self.ledger):
            raise NotComputedError(reason)


def over_rounds(
    training: Training,
    method: methods.GtgShapley | methods.FederatedShapley | methods.LeaveOneOut,
    of_round: Callable[[int, ModelGame], shapley.Estimate | None],
) -> Contribution:
    """Sums the values of silos over rounds; a silo that was not asked in a round has none in it.

    Source: additivity over rounds, Wang et al., arXiv 2009.06192, definition 2; decay of Wei et al. (2020), TMR.

    Args:
        training: The training.
        method: The settings.
        of_round: Values of the players of a round, from its number and game; None if it is skipped.

    Raises:
        NotComputedError: There are no stored updates.
        LedgerError: A file of updates is broken.
    """
    ledger, utility = training.ledger, training.utility
    evaluated = utility.evaluations
    gained = training.gained
    values, variances, rounds, skipped = [], [], [], []
    for number, game in training.games():
        estimate = of_round(number, game)
        if estimate is None:
            skipped.append(number)
            continue
        factor = method.round_decay ** (number - 1)
        rounds.append(number)
        values.append(spread(factor * estimate.values, game.silos, len(ledger.silos)))
        variances.append(spread((factor * estimate.standard_errors) ** 2, game.silos, len(ledger.silos)))
    by_round = np.stack(values)
    is_known = np.isfinite(by_round).any(axis=0)
    return Contribution(
        method=method,
        values=np.where(is_known, np.nansum(by_round, axis=0), np.nan),
        standard_errors=np.where(is_known, np.sqrt(np.nansum(variances, axis=0)), np.nan),
        gained=gained if method.round_decay == 1 else None,
        rounds=rounds,
        skipped_rounds=skipped,
        by_round=by_round,
        evaluations=utility.evaluations - evaluated,
    )


def spread(values: Vector, places: npt.NDArray[np.int64], silos: int) -> Vector:
    """Returns values of some silos as those of all, [silos]; NaN for the others.

    Args:
        values: [places].
        places: Positions of the silos.
        silos: Number of all.
    """
    of_all = np.full(silos, np.nan)
    of_all[places] = values
    return of_all
