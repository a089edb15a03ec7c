"""The federated Shapley value: Shapley values of each round's silos, summed over rounds.

Source: Wang, Rausch, Zhang, Jia and Song, "A principled approach to data valuation for federated learning", 2020, arXiv
2009.06192, definition 2; permutation sampling of its section 4.2 in rounds that are too large to be exact.
"""

from __future__ import annotations

import numpy as np

from tfx_federated.contribution_evaluator import contributions, methods, shapley


def compute(
    training: contributions.Training, method: methods.FederatedShapley, seed: int
) -> contributions.Contribution:
    """Returns the contribution of each silo.

    Args:
        training: What is shared out.
        method: Settings.
        seed: Of the permutations.

    Raises:
        NotComputedError: Updates are missing.
    """

    def of_round(number: int, game: contributions.ModelGame) -> shapley.Estimate:
        if game.players <= method.exact_silos:
            return shapley.exact(game)
        generator = np.random.default_rng([seed, number])
        return shapley.sampled(game, method.permutations, generator)

    return contributions.over_rounds(training, method, of_round)
