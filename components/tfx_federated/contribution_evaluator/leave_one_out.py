"""Leave-one-out: what each round loses without one silo, rebuilt from the updates, summed over rounds.

Source: the influence of Wang, Dang and Zhou, "Measure contribution of participants in federated learning", IEEE Big
Data 2019, section III, with rebuilt rounds in place of trainings.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfx_federated.contribution_evaluator import contributions, methods, shapley


def compute(training: contributions.Training, method: methods.LeaveOneOut) -> contributions.Contribution:
    """Returns the contribution of each silo. The values are no shares: they do not sum to what was gained.

    Args:
        training: What silos are left out of.
        method: Settings.

    Raises:
        NotComputedError: Updates are missing.
    """
    return dataclasses.replace(contributions.over_rounds(training, method, of_round), gained=None)


def of_round(number: int, game: contributions.ModelGame) -> shapley.Estimate:
    """Returns the values of one round's silos."""
    without_one = ~np.eye(game.players, dtype=np.bool_)
    return shapley.Estimate(game.ends[1] - game(without_one), np.zeros(game.players))
