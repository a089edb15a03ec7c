"""Shapley values of silos in the game of their averaged models: what a coalition's own models are worth as one.

Of each silo there is a model that it trained alone, from the same initial weights as the federated one. In place of a
training of the coalition stands the weighted mean of its silos' models, the "average mixture" of Zhang, Duchi and
Wainwright, "Communication-efficient algorithms for statistical optimization", JMLR 14 (2013), 3321-3363. Means of
networks that start alike are good models: McMahan et al., arXiv 1602.05629, figure 1.

Updates of rounds, which other methods rebuild coalitions from, were made beside the other silos: they tell what a silo
adds to a model that the others made good already. Models trained alone tell what a silo can do without the others.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tff_runtime.settings import privacy
from tfx_federated.contribution_evaluator import contributions, guided_sampling, methods, shapley
from tfx_federated.contribution_evaluator.federated_run import Vectors
from tfx_federated.contribution_evaluator.round_reconstruction import Masks


class AveragedModels:
    """Models of coalitions: the means of their silos' own.

    Attributes:
        silos: Positions of the players in the ledger's silos, [players].
    """

    def __init__(self, silos: npt.NDArray[np.int64], own: Vectors, weights: npt.NDArray, nobody: Vectors) -> None:
        """Takes the silos' models.

        Args:
            silos: Positions of the players in the ledger's silos, [players].
            own: The model of each, [players, parameters].
            weights: How much each counts in a mean, [players]; positive, not normalised.
            nobody: The model without any silo, [parameters].
        """
        self.silos = silos
        self._own = own
        self._weights = weights
        self._nobody = nobody

    def models(self, coalitions: Masks) -> Vectors:
        """Returns the weights of the coalitions' models, [coalitions, parameters].

        Args:
            coalitions: Who takes part, [coalitions, players].
        """
        weights = coalitions * self._weights
        is_anybody = coalitions.any(axis=1, keepdims=True)
        shares = weights / np.where(is_anybody, weights.sum(axis=1, keepdims=True), 1)
        return np.where(is_anybody, shares.astype(np.float32) @ self._own, self._nobody)


def compute(
    training: contributions.Training, method: methods.LocalModelsShapley, seed: int
) -> contributions.Contribution:
    """Returns the contribution of each silo. What the averaged model lacks to the federated one is not shared out.

    Args:
        training: What is shared out.
        method: Settings.
        seed: Of the permutations.

    Raises:
        NotComputedError: There are no local models, the training is private, or there are too many silos.
    """
    averaged, before = _averaged(training, method), training.utility.evaluations
    game = contributions.ModelGame(averaged, training.utility)
    federated = float(training.utility(training.ledger.last_round_weights()[np.newaxis])[0])
    estimate = _estimate(game, method, seed)
    silos = len(training.ledger.silos)
    return contributions.Contribution(
        method=method,
        values=contributions.spread(estimate.values, game.silos, silos),
        standard_errors=contributions.spread(estimate.standard_errors, game.silos, silos),
        gained=federated - game.ends[0],
        evaluations=training.utility.evaluations - before,
    )


def _estimate(game: shapley.RememberedGame, method: methods.LocalModelsShapley, seed: int) -> shapley.Estimate:
    if game.players <= method.exact_silos:
        return shapley.exact(game)
    limits = guided_sampling.Limits(
        truncation=method.truncation,
        relative_error=method.relative_error,
        minimum_permutations=method.minimum_permutations,
        maximum_evaluations=method.maximum_evaluations,
    )
    return guided_sampling.estimate(game, limits, np.random.default_rng(seed))


def _averaged(training: contributions.Training, method: methods.LocalModelsShapley) -> AveragedModels:
    ledger, local = training.ledger, training.local_models
    known = [silo for silo in ledger.silos if local is not None and silo in local.place_of_silo]
    if local is None or not known:
        raise contributions.NotComputedError(
            "there are no models that silos of the training trained alone; train FederatedTrainer with "
            "local_models=True, and give its silo_models as local_models"
        )
    if (level := ledger.settings["privacy"]["type"]) != privacy.NoPrivacy.__name__:
        raise contributions.NotComputedError(
            f"the training has {level} privacy, and models that silos trained alone are not private"
        )
    training.require_few_silos(method)
    weights = np.array([ledger.settings["silos"][silo]["weight"] for silo in known])
    own = local.weights[[local.place_of_silo[silo] for silo in known]]
    return AveragedModels(np.array([ledger.place[silo] for silo in known]), own, weights, ledger.initial_weights())
