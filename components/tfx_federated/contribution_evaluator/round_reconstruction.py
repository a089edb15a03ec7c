"""The global model that a round would have led to with other silos: rebuilt from the updates, without training.

The server moves by the weighted mean of the coalition's updates instead of the whole cohort's ("multi-rounds
reconstruction" of Song, Tong and Wei, "Profit allocation for federated learning", IEEE Big Data 2019). Of a server
optimizer that remembers former rounds, the memory is what the whole cohorts left, so that only this round's silos
differ. Where nobody takes part, the model stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tff_runtime.settings import aggregations
from tfx_federated.contribution_evaluator import federated_run, server_optimizers
from tfx_federated.contribution_evaluator.federated_run import Vectors

# Each row a coalition, each column a silo.
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RebuiltRound:
    """A round that can be run again with some of its silos.

    Attributes:
        number: Its number.
        silos: Positions of the cohort in the ledger's silos, [cohort].
        stored: The updates.
        optimizer: The server's.
        state: The optimizer's state before the round.
    """

    number: int
    silos: npt.NDArray[np.int64]
    stored: federated_run.StoredRound
    optimizer: server_optimizers.ServerOptimizer
    state: server_optimizers.State

    def models(self, coalitions: Masks) -> Vectors:
        """Returns the global weights after the round, [coalitions, parameters].

        Args:
            coalitions: Who of the cohort takes part, [coalitions, cohort].
        """
        change, _ = self.optimizer.step(self.state, _mean(coalitions, self.stored), self.number)
        return self.stored.global_weights + np.where(coalitions.any(axis=1, keepdims=True), change, 0)

    def next_state(self) -> server_optimizers.State:
        """Returns the optimizer's state after the round of the whole cohort."""
        everybody = np.ones((1, len(self.silos)), np.bool_)
        _, state = self.optimizer.step(self.state, _mean(everybody, self.stored)[0], self.number)
        return state


def why_impossible(ledger: federated_run.Ledger) -> str | None:
    """Returns why no round can be rebuilt, or None."""
    if not ledger.is_detailed:
        return "the training stored no updates; train with ledger=DetailedLedger(), which silo-level privacy forbids"
    if not ledger.update_rounds:
        return "no round's updates are stored; raise maximum_bytes of the trainer's DetailedLedger"
    aggregation = ledger.settings["aggregation"]["type"]
    if aggregation != aggregations.Mean.__name__:
        return f"the server aggregated by {aggregation}, and rounds are rebuilt by the weighted mean"
    return None


def rebuilt_rounds(ledger: federated_run.Ledger) -> Iterator[RebuiltRound]:
    """Yields the rounds whose updates are stored, one at a time in memory.

    Args:
        ledger: Of a training for which `why_impossible` returns None.

    Raises:
        LedgerError: A file of updates is broken.
    """
    optimizer = server_optimizers.of_settings(ledger.settings)
    state = None
    for number in ledger.update_rounds:
        stored = ledger.updates(number)
        state = optimizer.initial_state(len(stored.global_weights)) if state is None else state
        silos = np.array([ledger.place[silo] for silo in stored.silos], np.int64)
        rebuilt = RebuiltRound(number, silos, stored, optimizer, state)
        yield rebuilt
        state = rebuilt.next_state()


def _mean(coalitions: Masks, stored: federated_run.StoredRound) -> Vectors:
    weights = coalitions * stored.weights
    total = weights.sum(axis=1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return shares @ stored.updates
