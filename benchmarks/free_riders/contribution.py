"""How close methods come to exact Shapley values by retraining, in how much of the time; and how large they go."""

from __future__ import annotations

import math
import pathlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import threadpoolctl
from scipy import stats

from benchmarks.data import tables
from benchmarks.free_riders import federated_averaging, federated_runs, retraining
from tfx_federated.contribution_evaluator import (
    coalition_utility,
    contributions,
    federated_run,
    held_out_rows,
    measurement,
    methods,
    model_function,
    own_models,
    utilities,
)

SILOS = 10
DEFAULT = "LocalModelsShapley"
METHODS: Mapping[str, methods.Plain] = {
    DEFAULT: methods.LocalModelsShapley(),
    "GtgShapley": methods.GtgShapley(),
    "FederatedShapley": methods.FederatedShapley(),
    "LeaveOneOut": methods.LeaveOneOut(),
    "GradientCosine": methods.GradientCosine(),
}


@dataclass(frozen=True)
class Comparison:
    """Methods beside exact values, on one federation.

    Attributes:
        seed: Of the federation and its trainings.
        exact: The exact values.
        spearman: Rank correlation of each method with them.
        seconds: Time of each method; that of `LocalModelsShapley` counts the training of the local models.
    """

    seed: int
    exact: retraining.ExactValues
    spearman: Mapping[str, float]
    seconds: Mapping[str, float]

    @property
    def cost_share(self) -> dict[str, float]:
        """Time of each method over that of the exact values."""
        return {name: seconds / self.exact.seconds for name, seconds in self.seconds.items()}


def compare(table: tables.Table, seed: int) -> Comparison:
    """Draws a federation of `SILOS` silos, trains it, and measures contributions by every method and by retraining.

    Each method begins by loading the model, so that its time has XLA's compilation in it.
    """
    federation, settings = retraining.draw(table, seed, SILOS), federated_averaging.Settings()
    exact = retraining.exact_values(federation, settings, seed)
    spearman, seconds = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        ledger = _written(pathlib.Path(folder) / "run", federation, settings, seed)
        for name, method in METHODS.items():
            begin = time.perf_counter()
            local = _local_models(federation, settings, seed) if name == DEFAULT else None
            found = _measured(ledger, federation, method, local)
            seconds[name] = time.perf_counter() - begin
            spearman[name] = float(stats.spearmanr(exact.values, found.values).statistic)
    return Comparison(seed, exact, spearman, seconds)


def seconds_of(table: tables.Table, silos: int, rounds: int, method: methods.Plain) -> dict[str, Any]:
    """Measures the contributions of many silos, each of 100 rows drawn without regard to real silos.

    Args:
        table: The rows.
        silos: Number of silos.
        rounds: Number of rounds.
        method: The method.

    Returns:
        Its seconds, with reading the ledger, and with training local models for `LocalModelsShapley`; models that it
        evaluated; and the mean standard error of its values over their mean absolute value.
    """
    generator = np.random.default_rng(0)
    held_out = generator.permutation(np.flatnonzero(table.is_held_out))[:5_000]
    parts = np.array_split(generator.permutation(np.flatnonzero(~table.is_held_out))[: 100 * silos], silos)
    settings = federated_averaging.Settings(rounds=rounds)
    rows = [
        tables.SiloRows(f"silo {number}", table.features[part], table.labels[part]) for number, part in enumerate(parts)
    ]
    federation = retraining.Federation(rows, table.features[held_out], table.labels[held_out])
    with tempfile.TemporaryDirectory() as folder:
        is_detailed = isinstance(method, methods.GtgShapley)
        uri = _written(pathlib.Path(folder) / "run", federation, settings, 0, is_detailed).uri
        begin = time.perf_counter()
        local = _local_models(federation, settings, 0) if isinstance(method, methods.LocalModelsShapley) else None
        found = _measured(federated_run.read(uri), federation, method, local)
        seconds = time.perf_counter() - begin
    return {
        "silos": silos,
        "rounds": rounds,
        "method": type(method).__name__,
        "seconds": seconds,
        "evaluations": found.evaluations,
        "relative_error": float(np.nanmean(found.standard_errors) / np.nanmean(np.abs(found.values))),
    }


def summary(comparisons: Sequence[Comparison], large: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the part of the results that is about contribution."""
    by_method = {
        name: {
            "spearman": _mean([each.spearman[name] for each in comparisons]),
            "least_spearman": min(each.spearman[name] for each in comparisons),
            "cost_share": _mean([each.cost_share[name] for each in comparisons]),
            "seconds": _mean([each.seconds[name] for each in comparisons]),
        }
        for name in METHODS
    }
    return {
        "silos": len(comparisons[0].exact.values),
        "seeds": [each.seed for each in comparisons],
        "method": DEFAULT,
        **by_method[DEFAULT],
        "exact_seconds": _mean([each.exact.seconds for each in comparisons]),
        "by_method": by_method,
        "large": list(large),
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _written(
    folder: pathlib.Path,
    federation: retraining.Federation,
    settings: federated_averaging.Settings,
    seed: int,
    is_detailed: bool = True,
) -> federated_run.Ledger:
    run = federated_averaging.train(federation.silos, settings, seed)
    network = federated_averaging.Network(federation.features.shape[1], settings.hidden_units)
    return federated_runs.write(folder, run, network, is_detailed)


def _local_models(
    federation: retraining.Federation, settings: federated_averaging.Settings, seed: int
) -> own_models.OwnModels:
    with threadpoolctl.threadpool_limits(1):
        weights = [federated_averaging.train([silo], settings, seed).final_weights for silo in federation.silos]
    places = {silo.name: place for place, silo in enumerate(federation.silos)}
    return own_models.OwnModels(places, np.stack(weights))


def _measured(
    ledger: federated_run.Ledger,
    federation: retraining.Federation,
    method: methods.Method,
    local_models: own_models.OwnModels | None,
) -> contributions.Contribution:
    # The rows are of all silos together, and the utility asks for no more.
    rows = held_out_rows.HeldOutRows(
        silos=["all"],
        ends=np.array([len(federation.labels)]),
        features={federated_runs.FEATURES: federation.features},
        labels=federation.labels.astype(np.float64),
    )
    function = model_function.ModelFunction(ledger.model_path)
    utility = coalition_utility.CoalitionUtility(function, rows, utilities.OverallMetric("auc"))
    training = contributions.Training(ledger, utility, local_models)
    found = measurement.measure(training, method, 0, None)
    if found.contribution is None:
        raise RuntimeError(f"{type(method).__name__} could not be computed: {found.refused}")
    return found.contribution
