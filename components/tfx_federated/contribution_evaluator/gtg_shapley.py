"""GTG-Shapley: Shapley values of each round's silos, summed over rounds, by sampling that is cut short.

Source: Liu, Chen, Liu, Yu and Yang, "GTG-Shapley: efficient and accurate participant contribution evaluation in
federated learning", ACM TIST 13 (2022), arXiv 2109.02053, algorithm 1; what differs inside of a round is said in
`guided_sampling`. Thresholds are shares of what rounds change, as metrics differ in scale.
"""

from __future__ import annotations

import numpy as np

from tfx_federated.contribution_evaluator import contributions, guided_sampling, methods, shapley


def compute(training: contributions.Training, method: methods.GtgShapley, seed: int) -> contributions.Contribution:
    """Returns the contribution of each silo.

    The budget is spent on the rounds in proportion to what they change.

    Args:
        training: What is shared out.
        method: Settings.
        seed: Of the permutations.

    Raises:
        NotComputedError: Updates are missing.
    """
    training.require_few_silos(method)
    changes = np.abs(training.changes())
    shares = changes / max(changes.sum(), np.finfo(np.float64).tiny)
    is_kept = changes >= method.between_rounds * changes.mean()
    plan = dict(zip(training.ledger.update_rounds, zip(is_kept, shares, strict=True), strict=True))

    def of_round(number: int, game: contributions.ModelGame) -> shapley.Estimate | None:
        is_looked_at, share = plan[number]
        if not is_looked_at:
            return None
        limits = guided_sampling.Limits(
            truncation=method.truncation,
            relative_error=method.relative_error,
            minimum_permutations=method.minimum_permutations,
            maximum_evaluations=share * method.maximum_evaluations,
        )
        return guided_sampling.estimate(game, limits, np.random.default_rng([seed, number]))

    return contributions.over_rounds(training, method, of_round)
