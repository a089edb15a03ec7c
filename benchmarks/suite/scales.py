"""How much is measured: `small` on two cores within ten minutes, `full` for numbers to quote."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.suite.data import manifests
from tff_runtime.settings import stopping

LEARNING_RATE = 0.1


@dataclasses.dataclass(frozen=True)
class Scale:
    """The size of a benchmark.

    Attributes:
        name: Its name.
        seeds: Each is another draw of the rows, another initialisation and another order.
        splits: Ways to split the flights, of `tables.SPLITS`.
        rows: Training rows of the airlines together; None for all.
        rounds: Rounds of a training.
        entrant_rounds: Rounds that entrants are given.
        epsilons: Of the private trainings.
        families: Names of the families of silos of the question of heterogeneity.
        planted: What planted silos do, and the shares of them.
        silos: Numbers of silos of the question of scale.
        newcomer_rows: Rows that a newcomer adapts with.
    """

    name: str
    seeds: Sequence[int]
    splits: Sequence[str]
    rows: int | None
    rounds: int
    entrant_rounds: int
    epsilons: Sequence[float]
    families: Sequence[str]
    planted: Mapping[str, Sequence[float]]
    silos: Sequence[int]
    newcomer_rows: Sequence[int] = (10, 100, 1000)

    def airlines(self, seed: int, split: str = "whole_days") -> manifests.Manifest:
        """Returns the sixteen airlines, of very unequal size."""
        share = 1.0 if self.rows is None else 0.15
        family = manifests.Family(rows=self.rows, least_rows=300)
        return manifests.Manifest("flights", split, family, share, 600, seed)

    def settings(self, seed: int) -> dict[str, Any]:
        """Returns what all trainings have in common, as arguments of `FederatedTrainer`.

        The round with the lowest loss over the validation rows is kept: methods that learn faster overfit sooner.
        """
        return {
            "rounds": self.rounds,
            "batch_size": 32,
            "client_learning_rate": LEARNING_RATE,
            "evaluation_interval": 2,
            "checkpoint_interval": self.rounds,
            "stopping": stopping.BestRound(metric="loss", of="overall"),
            "custom_config": {"hidden_units": 32},
            "seed": seed,
        }


SCALES = {
    scale.name: scale
    for scale in (
        Scale(
            "small",
            seeds=(0,),
            splits=("whole_days",),
            rows=20_000,
            rounds=30,
            entrant_rounds=10,
            epsilons=(8.0, 1.0),
            families=("alike", "label skew", "concept shift"),
            planted={"garbage_labels": (0.25, 0.5), "too_few_rows": (0.5,)},
            silos=(10, 100, 1000),
        ),
        Scale(
            "full",
            seeds=(0, 1, 2),
            splits=("whole_days", "forward_in_time"),
            rows=None,
            rounds=50,
            entrant_rounds=20,
            epsilons=(8.0, 4.0, 2.0, 1.0, 0.5),
            families=("alike", "size skew", "feature skew", "label skew", "concept shift"),
            planted=dict.fromkeys(("garbage_labels", "duplicated_rows", "too_few_rows"), (0.1, 0.2, 0.3, 0.4, 0.5)),
            silos=(10, 100, 1000, 10_000, 100_000),
        ),
    )
}
