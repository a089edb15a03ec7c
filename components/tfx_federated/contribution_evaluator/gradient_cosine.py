"""CGSV: the cosine of each silo's update and the aggregate, as a moving mean over rounds.

Source: Xu, Lyu, Ma, Miao, Foo and Low, "Gradient driven rewards to guarantee fairness in collaborative machine
learning", NeurIPS 2021, equations 2 and 3: r_t = alpha r_(t-1) + (1 - alpha) cos(u_i, u_N). There the server weighs
updates by r; here the aggregate is the one that was trained with.
"""

from __future__ import annotations

import numpy as np

from tfx_federated.contribution_evaluator import contributions, federated_run, methods
from tfx_federated.contribution_evaluator.shapley import Vector


def compute(ledger: federated_run.Ledger, method: methods.GradientCosine) -> contributions.Contribution:
    """Returns the contribution of each silo, in [-1, 1].

    Args:
        ledger: Of the training.
        method: Settings.

    Raises:
        NotComputedError: The ledger has no cosines.
    """
    if not np.isfinite(ledger.cosine).any():
        raise contributions.NotComputedError(
            "the ledger has no cosines of updates: privacy hides the single silos, or their updates are too large"
        )
    values = moving_mean(ledger.cosine, method.memory)
    return contributions.Contribution(
        method=method,
        values=values,
        standard_errors=np.where(np.isfinite(values), 0.0, np.nan),
        gained=None,
        rounds=ledger.rounds,
        by_round=ledger.cosine,
    )


def moving_mean(cosines: federated_run.Array, memory: float) -> Vector:
    """Returns the exponentially weighted mean over the rounds in which a silo took part, [silos]; NaN without any.

    Weights are normalised, so that a silo that joined late is not held to have had cosine 0 before.

    Args:
        cosines: [rounds, silos], NaN where the silo did not take part or its update was zero.
        memory: In [0, 1).
    """
    known = np.isfinite(cosines)
    later = np.cumsum(known[::-1], axis=0)[::-1] - known
    weights = np.where(known, np.power(memory, later), 0.0)
    total = weights.sum(axis=0)
    weighted = (weights * np.where(known, cosines, 0.0)).sum(axis=0)
    return np.divide(weighted, total, out=np.full(len(total), np.nan), where=total > 0)
