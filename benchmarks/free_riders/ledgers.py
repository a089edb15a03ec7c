"""The ledger of a simulated training, as `federated_run.Ledger` shows that of a real one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.free_riders import federated_averaging
from tfx_federated.contribution_evaluator.detection import vectors


class SimulatedLedger:
    """A detailed ledger in memory. Updates are rounded as the trainer stores them: float16 of their largest value."""

    def __init__(self, run: federated_averaging.Run) -> None:
        """Shows a training."""
        self._run = run
        count = len(run.rounds)
        self.silos: Sequence[str] = run.silos
        self.rounds: Sequence[int] = range(1, count + 1)
        self.update_rounds: Sequence[int] = self.rounds
        self.rows: vectors.Array = np.tile(run.rows.astype(np.float64), (count, 1))
        self.weight: vectors.Array = self.rows
        self.loss_before: vectors.Array = np.stack([turn.loss_before for turn in run.rounds])
        self.update_norm: vectors.Array = np.stack(
            [np.linalg.norm(turn.updates, axis=1).astype(np.float64) for turn in run.rounds]
        )
        self.cosine: vectors.Array = np.stack(
            [
                vectors.row_cosines(turn.updates, np.broadcast_to(run.aggregate(number), turn.updates.shape))
                for number, turn in enumerate(run.rounds)
            ]
        )

    def updates(self, round_number: int) -> tuple[Sequence[str], vectors.Vectors, vectors.Vectors, vectors.Vectors]:
        """Returns silos, weights, global weights and updates of a round."""
        turn = self._run.rounds[round_number - 1]
        scales = np.abs(turn.updates).max(axis=1, keepdims=True)
        stored = np.divide(turn.updates, scales, out=np.zeros_like(turn.updates), where=scales > 0).astype(np.float16)
        return self.silos, self._run.rows.astype(np.float32), turn.global_weights, stored.astype(np.float32) * scales
