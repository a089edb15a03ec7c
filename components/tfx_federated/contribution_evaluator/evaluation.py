"""Everything that is computed of a training: what silos gave, what they got, and whom the detectors found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tfx_federated.contribution_evaluator import (
    balance,
    benefit,
    coalition_utility,
    contributions,
    federated_run,
    held_out_rows,
    measurement,
    methods,
    metrics,
    model_function,
    own_models,
    retraining,
    utilities,
)
from tfx_federated.contribution_evaluator.detection import detectors
from tfx_federated.statistics import benefit as benefit_over_silos
from tfx_federated.statistics import evidence as evidence_lib
from tfx_federated.statistics import paired

FEDERATED = "federated"
LOCAL = "local"
PERSONALISED = "personalised"


class ForeignRunError(ValueError):
    """The silo examples and the FederatedRun are not of one federation."""


@dataclass(frozen=True)
class Settings:
    """What is asked.

    Attributes:
        split: Split of the silo examples that no model was trained on.
        utility: What a coalition of silos is worth; its metric is that of the benefits too.
        method: How contributions are measured.
        minimums: What a claim about a silo's benefit needs.
        confidence: Of intervals, in (0, 1).
        false_discovery_rate: Among silos that are called hurt or helped, and among those that are found, in (0, 1).
        seed: Of the sampling.
    """

    split: str
    utility: utilities.Utility
    method: methods.Method
    minimums: evidence_lib.Minimums
    confidence: float
    false_discovery_rate: float
    seed: int


@dataclass(frozen=True)
class NotComputed:
    """Something that could not be computed.

    Attributes:
        what: What.
        reason: Why.
    """

    what: str
    reason: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """What silos get from one model over another.

    Attributes:
        model: Name of the model.
        baseline: Name of the model that it is compared with.
        gains: Of the silos with held-out rows.
        over_silos: The same summed up; None where no silo has enough rows.
        balance: With the contributions; None where too few silos have both.
    """

    model: str
    baseline: str
    gains: paired.Gains
    over_silos: benefit_over_silos.Benefit | None
    balance: balance.Balance | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is known of a training.

    Attributes:
        ledger: Its ledger.
        rows: Held-out rows.
        settings: What was asked.
        contribution: What each silo of the ledger gave; None if it could not be computed.
        values: The metric on each silo's held-out rows by model, [silos with rows]; NaN where it is undefined.
        comparisons: What silos got; the first is that of the federated model with local ones, if there are any.
        detection: Whom the detectors found; None if they could not look.
        not_computed: What could not be computed.
    """

    ledger: federated_run.Ledger
    rows: held_out_rows.HeldOutRows
    settings: Settings
    contribution: contributions.Contribution | None
    values: Mapping[str, npt.NDArray[np.float64]]
    comparisons: Sequence[Comparison]
    detection: detectors.Detection | None
    not_computed: Sequence[NotComputed] = field(default_factory=tuple)


@dataclass(frozen=True, eq=False)
class Models:
    """What is evaluated.

    Attributes:
        function: The model as a function of its weights.
        own: Silos' own models by name, `LOCAL` or `PERSONALISED`.
    """

    function: model_function.ModelFunction
    own: Mapping[str, own_models.OwnModels]


def evaluate(
    ledger: federated_run.Ledger,
    rows: held_out_rows.HeldOutRows,
    models: Models,
    settings: Settings,
    train: retraining.Trainer | None,
) -> Evaluation:
    """Computes what can be computed, and says of the rest why it cannot.

    Args:
        ledger: Of the training.
        rows: Held-out rows of its silos.
        models: The models.
        settings: What is asked.
        train: Trains coalitions of silos, for methods that do; None without the trainer's inputs.

    Raises:
        ForeignRunError: No silo of the rows was in the training.
        LedgerError: A file of the FederatedRun is broken.
    """
    if not set(rows.silos) & set(ledger.silos):
        raise ForeignRunError(
            f"none of the silos of the silo examples, such as {rows.silos[0]!r}, is in the FederatedRun {ledger.uri}, "
            f"which has {ledger.silos[0]!r}: it is the record of another training; give silo_examples and "
            "federated_run of one pipeline run"
        )
    utility = coalition_utility.CoalitionUtility(models.function, rows, settings.utility)
    training = contributions.Training(ledger, utility, models.own.get(LOCAL))
    measured = measurement.measure(training, settings.method, settings.seed, train)
    not_computed = [NotComputed(f"contribution by {name}", reason) for name, reason in measured.refused]
    values, comparisons = {}, []
    try:
        predictions = _predictions(ledger, rows, models)
        values = _values(settings.utility.metric, predictions, rows)
        comparisons = list(_comparisons(predictions, rows, ledger, measured.contribution, settings))
    except metrics.MetricError as error:
        not_computed.append(NotComputed("benefit", str(error)))
    not_computed += [NotComputed(f"benefit against {LOCAL} models", _NO_LOCAL)] if LOCAL not in models.own else []
    detection, impossible = _detected(ledger, settings)
    return Evaluation(
        ledger, rows, settings, measured.contribution, values, comparisons, detection, [*not_computed, *impossible]
    )


_NO_LOCAL = "no local_models are given; train a FederatedTrainer with local_models=True, and give its silo_models"


def _predictions(
    ledger: federated_run.Ledger, rows: held_out_rows.HeldOutRows, models: Models
) -> dict[str, npt.NDArray[np.float32]]:
    federated = models.function.predictions(ledger.exported_weights()[np.newaxis], rows.features)[0]
    return {FEDERATED: federated} | {name: own.predictions(models.function, rows) for name, own in models.own.items()}


def _values(
    metric: str, predictions: Mapping[str, npt.NDArray[np.float32]], rows: held_out_rows.HeldOutRows
) -> dict[str, npt.NDArray[np.float64]]:
    metrics.require_defined(metric, rows.labels, predictions[FEDERATED][np.newaxis])
    return {
        name: coalition_utility.of_silos(metric, answers[np.newaxis], rows)[0] for name, answers in predictions.items()
    }


def _comparisons(
    predictions: Mapping[str, npt.NDArray[np.float32]],
    rows: held_out_rows.HeldOutRows,
    ledger: federated_run.Ledger,
    contribution: contributions.Contribution | None,
    settings: Settings,
) -> Sequence[Comparison]:
    found = []
    for model, baseline in ((FEDERATED, LOCAL), (PERSONALISED, FEDERATED)):
        if not {model, baseline} <= predictions.keys():
            continue
        gains = benefit.gains(
            settings.utility.metric, rows, predictions[model], predictions[baseline], settings.minimums
        )
        over_silos = None
        if (gains.evidence == evidence_lib.Evidence.ENOUGH).any():
            over_silos = benefit_over_silos.of_gains(
                gains, settings.false_discovery_rate, confidence=settings.confidence, seed=settings.seed
            )
        balanced = None
        if contribution is not None:
            gave = np.array([contribution.values[ledger.place[s]] if s in ledger.place else np.nan for s in rows.silos])
            balanced = balance.of_silos(gave, gains.gain, settings.confidence)
        found.append(Comparison(model, baseline, gains, over_silos, balanced))
    return found


def _detected(ledger: federated_run.Ledger, settings: Settings) -> tuple[detectors.Detection | None, list[NotComputed]]:
    if not ledger.took_part.any():
        reason = "the ledger tells nothing of single silos, as privacy at their level forbids it"
        return None, [NotComputed("free riders and damage", reason)]
    detection = detectors.detect(ledger, settings.false_discovery_rate)
    return detection, [
        NotComputed(f"detector {impossible.detector}", impossible.reason) for impossible in detection.impossible
    ]
