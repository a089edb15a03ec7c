"""Contributions by training coalitions of silos anew: exact Shapley values, and groups that are left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from tfx_federated.contribution_evaluator import contributions, methods, shapley
from tfx_federated.contribution_evaluator.federated_run import Vectors
from tfx_federated.contribution_evaluator.round_reconstruction import Masks

# Coalitions of silos to the weights that each reaches, [coalitions, parameters]; nobody reaches the initial ones.
Trainer = Callable[[Sequence[Collection[str]]], Vectors]


def exact(training: contributions.Training, method: methods.Retraining, train: Trainer) -> contributions.Contribution:
    """Returns exact Shapley values of the silos.

    Args:
        training: What is shared out.
        method: Settings.
        train: Trains coalitions.

    Raises:
        NotComputedError: There are too many silos, or the run holds no model of many weights.
    """
    training.require_few_silos(method)
    silos = training.ledger.silos
    game = shapley.RememberedGame(lambda coalitions: training.utility(train(_names(coalitions, silos))), len(silos))
    estimate = shapley.exact(game)
    return contributions.Contribution(
        method=method,
        values=estimate.values,
        standard_errors=estimate.standard_errors,
        gained=game.ends[1] - game.ends[0],
        evaluations=game.evaluations,
    )


def leave_group_out(
    training: contributions.Training, method: methods.LeaveGroupOut, train: Trainer, seed: int
) -> contributions.Contribution:
    """Returns an equal part, for each silo of a group, of what the training would have lost without the group.

    Args:
        training: What groups are left out of.
        method: Settings.
        train: Trains coalitions.
        seed: Of the groups.

    Raises:
        NotComputedError: There are fewer silos than groups.
    """
    silos = training.ledger.silos
    if len(silos) < method.groups:
        raise contributions.NotComputedError(
            f"there are {len(silos)} silos, fewer than LeaveGroupOut's {method.groups} groups"
        )
    order = np.random.default_rng(seed).permutation(len(silos))
    groups = [np.sort(group) for group in np.array_split(order, method.groups)]
    coalitions = np.ones((method.groups + 1, len(silos)), np.bool_)
    for row, group in enumerate(groups, start=1):
        coalitions[row, group] = False
    utilities = training.utility(train(_names(coalitions, silos)))
    values = np.empty(len(silos))
    for group, without in zip(groups, utilities[1:], strict=True):
        values[group] = (utilities[0] - without) / len(group)
    return contributions.Contribution(
        method=method,
        values=values,
        standard_errors=np.zeros(len(silos)),
        gained=None,
        evaluations=len(coalitions),
        groups=[[silos[place] for place in group] for group in groups],
    )


def _names(coalitions: Masks, silos: Sequence[str]) -> list[list[str]]:
    return [[silos[place] for place in np.flatnonzero(coalition).tolist()] for coalition in coalitions]
