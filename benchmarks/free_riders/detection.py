"""Federations with one behaviour planted in each, and how well every contender finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from benchmarks.data import tables
from benchmarks.free_riders import behaviours, contenders, federated_averaging, ledgers, populations

# One silo in eight misbehaves. Each has so many rows at least: of fewer, garbage labels and true ones are all the same.
# Together they have no more of the rows: where liars are most of what is learned, the others are the odd ones.
PLANTED_SHARE = 1 / 8
FEWEST_PLANTED_ROWS = 100
LARGEST_PLANTED_WEIGHT = 1 / 4
SIZE_CLASSES = {"below 50 rows": (0, 50), "50 to 199 rows": (50, 200), "200 rows and more": (200, np.inf)}


@dataclass(frozen=True)
class Trial:
    """One federation, judged.

    Attributes:
        rows: Rows of each silo, [silos].
        is_planted: Silos that misbehave, [silos].
        is_honest: Silos that do not, and that nobody copied, [silos].
        judgements: By contender.
    """

    rows: npt.NDArray[np.int64]
    is_planted: npt.NDArray[np.bool_]
    is_honest: npt.NDArray[np.bool_]
    judgements: Mapping[str, contenders.Judgement]

    def auc(self, contender: str) -> float:
        """Returns the area under the curve of planted against honest silos."""
        told = self.is_planted | self.is_honest
        score = np.clip(self.judgements[contender].score[told], -1e30, 1e30)
        return float(metrics.roc_auc_score(self.is_planted[told], score))


def run(table: tables.Table, behaviour: behaviours.Behaviour, seed: int) -> Trial:
    """Draws a federation, plants a behaviour, trains and judges."""
    generator = np.random.default_rng(seed)
    silos = populations.draw(table, generator)
    chosen = _chosen(silos, generator)
    planted = behaviour(silos, chosen, generator)
    trained = federated_averaging.train(planted.silos, federated_averaging.Settings(), seed, planted.lies)
    is_planted = np.array([silo in planted.planted for silo in trained.silos])
    is_involved = np.array([silo in planted.involved for silo in trained.silos])
    judgements = contenders.judge(ledgers.SimulatedLedger(trained))
    return Trial(trained.rows, is_planted, ~is_planted & ~is_involved, judgements)


def _chosen(silos: Sequence[tables.SiloRows], generator: np.random.Generator) -> list[str]:
    rows = {silo.name: len(silo.labels) for silo in silos}
    able = [name for name, count in rows.items() if count >= FEWEST_PLANTED_ROWS]
    count = max(2, round(PLANTED_SHARE * len(silos)))
    while True:
        chosen = [str(name) for name in generator.choice(able, count, replace=False)]
        if sum(rows[name] for name in chosen) <= LARGEST_PLANTED_WEIGHT * sum(rows.values()):
            return chosen


def quality(trials: Sequence[Trial], contender: str) -> dict[str, float]:
    """Returns AUC (mean and least), precision and recall over all trials; precision is NaN where none is called."""
    found = np.concatenate([trial.judgements[contender].is_found for trial in trials])
    planted = np.concatenate([trial.is_planted for trial in trials])
    honest = np.concatenate([trial.is_honest for trial in trials])
    hits, false_alarms = int((found & planted).sum()), int((found & honest).sum())
    curves = [trial.auc(contender) for trial in trials]
    return {
        "auc": float(np.mean(curves)),
        "least_auc": min(curves),
        "precision": hits / (hits + false_alarms) if hits + false_alarms else float("nan"),
        "recall": hits / int(planted.sum()),
    }


def false_positives(trials: Sequence[Trial], contender: str) -> dict[str, dict[str, Any]]:
    """Returns the share of the honest silos that are called, and their number, by class of size."""
    rates = {}
    for name, (least, below) in SIZE_CLASSES.items():
        called = np.concatenate(
            [
                trial.judgements[contender].is_found[trial.is_honest & (trial.rows >= least) & (trial.rows < below)]
                for trial in trials
            ]
        )
        rates[name] = {"rate": float(called.mean()) if len(called) else None, "silos": len(called)}
    return rates
