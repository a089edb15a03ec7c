"""Contributions by the method that a user chose, or by the one after it where that cannot be computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tfx_federated.contribution_evaluator import (
    contributions,
    federated_shapley,
    gradient_cosine,
    gtg_shapley,
    leave_one_out,
    local_models_shapley,
    methods,
    metrics,
    retraining,
)


class Measurement(NamedTuple):
    """What came of the methods.

    Attributes:
        contribution: The first that could be computed; None if none could.
        refused: Name and reason of each that could not.
    """

    contribution: contributions.Contribution | None
    refused: Sequence[tuple[str, str]]


def measure(
    training: contributions.Training, method: methods.Method, seed: int, train: retraining.Trainer | None
) -> Measurement:
    """Measures contributions.

    Args:
        training: What is shared out.
        method: One method, or a `Fallback`.
        seed: Of the sampling.
        train: Trains coalitions of silos, for methods that need it; None if nothing can.

    Raises:
        LedgerError: A file of the FederatedRun is broken.
        ValueError: Coalitions cannot be trained.
    """
    refused: list[tuple[str, str]] = []
    for one in _in_order(method):
        try:
            return Measurement(_compute(training, one, seed, train), refused)
        except (contributions.NotComputedError, metrics.MetricError) as error:
            refused.append((type(one).__name__, str(error)))
    return Measurement(None, refused)


def _in_order(method: methods.Method) -> Iterator[methods.Plain]:
    while isinstance(method, methods.Fallback):
        yield method.preferred
        method = method.otherwise
    yield method


def _compute(
    training: contributions.Training, method: methods.Plain, seed: int, train: retraining.Trainer | None
) -> contributions.Contribution:
    match method:
        case methods.LocalModelsShapley():
            return local_models_shapley.compute(training, method, seed)
        case methods.GtgShapley():
            return gtg_shapley.compute(training, method, seed)
        case methods.FederatedShapley():
            return federated_shapley.compute(training, method, seed)
        case methods.LeaveOneOut():
            return leave_one_out.compute(training, method)
        case methods.GradientCosine():
            return gradient_cosine.compute(training.ledger, method)
        case methods.Retraining():
            return retraining.exact(training, method, _required(train))
        case methods.LeaveGroupOut():
            return retraining.leave_group_out(training, method, _required(train), seed)


def _required(train: retraining.Trainer | None) -> retraining.Trainer:
    if train is None:
        raise contributions.NotComputedError(
            "it trains silos again; give ContributionEvaluator the module_file, and the transform_graph or schema, "
            "that FederatedTrainer has"
        )
    return train
