"""Which choices do not go together, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tff_runtime.aggregation import minimum_silos
from tff_runtime.privacy import compatibility
from tff_runtime.settings import aggregations, algorithms, cohorts, personalizations, stopping

_FAIR = (algorithms.QFedAvg, algorithms.AgnosticFederated, algorithms.TiltedFederated)
_OF_PRIVACY = ("privacy", "algorithm", "aggregation", "personalization", "cohort", "ledger")
_COUNT_ALIKE = (aggregations.Median, aggregations.TrimmedMean, aggregations.MultiKrum)


def check(settings: Mapping[str, Any]) -> None:
    """Refuses choices that contradict each other.

    Args:
        settings: The trainer's settings by name, the choices as settings objects.

    Raises:
        ValueError: Two of them do not go together; the message names both, the reason and what to do.
    """
    algorithm, personalization = settings["algorithm"], settings["personalization"]
    if isinstance(algorithm, _FAIR) and isinstance(innermost(settings["aggregation"]), _COUNT_ALIKE):
        _refuse(
            algorithm,
            innermost(settings["aggregation"]),
            "the algorithm works by weights of the silos, and the aggregation counts every silo the same; take Mean",
        )
    if isinstance(personalization, personalizations.MeanRegularized) and not isinstance(algorithm, algorithms.FedAvg):
        _refuse(personalization, algorithm, "it trains the silos' own models only; leave the algorithm at FedAvg")
    if settings.get("rounds") == 0 and not isinstance(personalization, personalizations.FineTuning):
        raise ValueError("FederatedTrainer: rounds is 0: nothing is trained without personalization=FineTuning(...)")
    if not settings.get("evaluation_split"):
        for choice in (personalization, settings["stopping"]):
            if isinstance(choice, (personalizations.FineTuning, stopping.BestRound)):
                raise ValueError(
                    f"FederatedTrainer: {type(choice).__name__} compares models on the evaluation split; give an "
                    "evaluation_split"
                )
    compatibility.refuse(
        **{name: settings[name] for name in _OF_PRIVACY},
        stop=settings["stopping"],
        silo_weighting=settings.get("silo_weighting", "examples"),
        maximum_silo_share=settings.get("maximum_silo_share", 1.0),
        local_models=bool(settings.get("local_models")),
        train_split=settings.get("train_split", "train"),
        evaluation_split=settings.get("evaluation_split") or None,
    )


def require_enough_silos(cohort: Any, aggregation: Any, silos: int) -> None:
    """Refuses a cohort that is larger than the number of silos, or smaller than its aggregation needs.

    Raises:
        ValueError: It is; the message names the numbers.
    """
    size = silos if isinstance(cohort, cohorts.AllSilos) else cohort.size
    if size > silos:
        raise ValueError(
            f"FederatedTrainer: cohort {type(cohort).__name__} has size {size}, and there are {silos} silos; take a "
            "smaller cohort, or AllSilos"
        )
    needed = minimum_silos.minimum_silos(aggregation)
    if size < needed:
        raise ValueError(
            f"FederatedTrainer: {type(innermost(aggregation)).__name__} needs {needed} silos in a round, and there are "
            f"{size}; take a smaller byzantine, or more silos"
        )


def innermost(aggregation: Any) -> Any:
    """Returns the aggregation inside of clipping and zeroing."""
    while isinstance(aggregation, (aggregations.Clipping, aggregations.Zeroing)):
        aggregation = aggregation.inner
    return aggregation


def _refuse(one: Any, other: Any, reason: str) -> None:
    raise ValueError(f"FederatedTrainer: {type(one).__name__} with {type(other).__name__}: {reason}")
