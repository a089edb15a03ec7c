"""Which choices would make a privacy guarantee void, and why. Standard library only: the TFX side asks, too.

Record level: with or without one training row of a silo, all that leaves the silo must be almost equally likely. What
is computed from private gradients alone is safe, whatever is done with it; what else follows from training rows is not.

Silo level: with or without one silo, all that is published must be almost equally likely. What is computed from the
noised sum alone is safe; what else follows from a silo is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tff_runtime.settings import aggregations, algorithms, cohorts, ledgers, personalizations, stopping
from tff_runtime.settings import privacy as privacy_settings

_LOSSES = "the silos' losses on their training rows steer the mean, and no noise is added to them"
_SECOND_TRAINING = "a second training on the same rows, whose cost is not counted, and are exported"
_MODELS_OF_A_SILO = "a model of one silo is exported, and follows from that silo's rows"

# FedAvg and FedProx pass: the proximal term depends on weights alone. Scaffold passes: its control variates (option II)
# are differences of weights that are private already (DP-SCAFFOLD: Noble et al., arXiv 2111.09278).
_ALGORITHMS_AT_RECORD_LEVEL = {
    algorithms.FedSGD: "the silos' full gradients are sent without clipping and noise. FedAvg with one local epoch and "
    "the rows of the largest silo as batch size is the same algorithm, and has both",
    algorithms.MimeLite: "the silos send their full gradients, for the server's momentum, without clipping and noise",
    algorithms.QFedAvg: _LOSSES,
    algorithms.AgnosticFederated: _LOSSES,
    algorithms.TiltedFederated: _LOSSES,
}
_ALGORITHMS_AT_SILO_LEVEL = {
    algorithms.Scaffold: "the mean of the silos' control variates is shared without clipping and noise",
    algorithms.MimeLite: "the mean of the silos' full gradients is shared without clipping and noise",
    algorithms.QFedAvg: _LOSSES,
    algorithms.AgnosticFederated: _LOSSES,
    algorithms.TiltedFederated: _LOSSES,
}
# LocalLayers and MeanRegularized pass: every weight moves by private gradients only, those that stay with a silo too.
_PERSONALIZATIONS_AT_RECORD_LEVEL = {
    personalizations.FineTuning: f"the silos' models come from {_SECOND_TRAINING}. Choose MeanRegularized",
    personalizations.Ditto: f"the silos' own models come from {_SECOND_TRAINING}. Choose MeanRegularized",
}


def refuse(**choices: Any) -> None:
    """Refuses choices that would make the privacy guarantee void.

    Args:
        **choices: Those of `refusals`.

    Raises:
        ValueError: There are some; the message has each, its reason, and what to do.
    """
    if reasons := refusals(**choices):
        raise ValueError("The privacy guarantee would be void:\n" + "\n".join(f"- {reason}" for reason in reasons))


def refusals(
    *,
    privacy: Any,
    algorithm: Any,
    aggregation: Any,
    personalization: Any,
    cohort: Any,
    stop: Any,
    ledger: Any,
    silo_weighting: str,
    maximum_silo_share: float,
    local_models: bool,
    train_split: str,
    evaluation_split: str | None,
) -> list[str]:
    """Returns why choices do not go with the privacy asked for; nothing if they do.

    Args:
        privacy: One of `settings.privacy.ALTERNATIVES`.
        algorithm: One of `settings.algorithms.ALTERNATIVES`.
        aggregation: One of `settings.aggregations.ALTERNATIVES`.
        personalization: One of `settings.personalizations.ALTERNATIVES`.
        cohort: One of `settings.cohorts.ALTERNATIVES`.
        stop: One of `settings.stopping.ALTERNATIVES`.
        ledger: One of `settings.ledgers.ALTERNATIVES`.
        silo_weighting: One of `silo_weights.WEIGHTINGS`.
        maximum_silo_share: Largest share of the weight that one silo may have, in (0, 1].
        local_models: Whether each silo also trains a model alone.
        train_split: Split to train on.
        evaluation_split: Split whose metrics the run's record has, for each silo; or None.
    """
    match privacy:
        case privacy_settings.RecordLevel():
            found = _at_record_level(algorithm, personalization, local_models, train_split, evaluation_split)
        case privacy_settings.SiloLevel():
            found = _at_silo_level(
                algorithm, aggregation, personalization, cohort, stop, ledger, silo_weighting, maximum_silo_share,
                local_models, evaluation_split,
            )  # fmt: skip
        case _:
            return []
    return [f"{type(privacy).__name__} with {choice}: {reason}." for choice, reason in found]


def _at_record_level(
    algorithm: Any, personalization: Any, local_models: bool, train_split: str, evaluation_split: str | None
) -> Iterator[tuple[str, str]]:
    if reason := _ALGORITHMS_AT_RECORD_LEVEL.get(type(algorithm)):
        yield type(algorithm).__name__, reason
    if reason := _PERSONALIZATIONS_AT_RECORD_LEVEL.get(type(personalization)):
        yield type(personalization).__name__, reason
    if local_models:
        yield (
            "local_models",
            f"the models of the silos alone come from {_SECOND_TRAINING}. Turn them off",
        )
    if evaluation_split == train_split:
        yield (
            f"evaluation on {train_split!r}",
            "metrics of the training rows are published without noise. Evaluate on another split: its rows are not "
            "protected, and metrics on them say of the training rows only what the private model does",
        )


def _at_silo_level(
    algorithm: Any,
    aggregation: Any,
    personalization: Any,
    cohort: Any,
    stop: Any,
    ledger: Any,
    silo_weighting: str,
    maximum_silo_share: float,
    local_models: bool,
    evaluation_split: str | None,
) -> Iterator[tuple[str, str]]:
    if reason := _ALGORITHMS_AT_SILO_LEVEL.get(type(algorithm)):
        yield type(algorithm).__name__, reason
    if not isinstance(aggregation, aggregations.Mean):
        yield (
            type(aggregation).__name__,
            "the noise is calibrated to a sum of clipped updates; other aggregations, and thresholds that follow the "
            "updates without noise, can change by more when a silo is added. Choose Mean, which clips by itself",
        )
    if silo_weighting != "uniform":
        yield (
            f"silo_weighting {silo_weighting!r}",
            "a weight makes a silo's part of the sum larger than the clipping norm, and tells its rows. Choose uniform",
        )
    if maximum_silo_share < 1:
        yield (
            "maximum_silo_share",
            "the cap follows from all silos' rows without noise. Leave it at 1: every silo counts the same anyway",
        )
    if not isinstance(personalization, personalizations.NoPersonalization):
        yield type(personalization).__name__, f"{_MODELS_OF_A_SILO}. Choose NoPersonalization"
    if local_models:
        yield "local_models", f"{_MODELS_OF_A_SILO}. Turn them off"
    if isinstance(cohort, cohorts.SampleBySize):
        yield (
            "SampleBySize",
            "which silos take part follows from all silos' rows without noise. Choose UniformSample or RoundRobin",
        )
    if isinstance(stop, stopping.BestRound):
        yield (
            "BestRound",
            "the round is chosen by metrics of the silos' rows without noise. Choose LastRound",
        )
    if isinstance(ledger, ledgers.DetailedLedger):
        yield (
            "DetailedLedger",
            "it stores the updates of single silos, which have no noise: that is on their sum. Choose SummaryLedger",
        )
    if evaluation_split is not None:
        yield (
            f"evaluation on {evaluation_split!r}",
            "the run's record would have metrics of each silo without noise, and a silo is protected with all its "
            "rows. Leave the evaluation split out",
        )
