"""The part of a training's ledger that the detectors read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tfx_federated.contribution_evaluator.detection.vectors import Array, Vectors


class Ledger(Protocol):
    """What is read of `federated_run.Ledger`; arrays are [rounds, silos], NaN where nothing is known."""

    @property
    def silos(self) -> Sequence[str]:
        """Names of the silos."""

    @property
    def rounds(self) -> Sequence[int]:
        """Numbers of the rounds, ascending."""

    @property
    def rows(self) -> Array:
        """Training rows."""

    @property
    def weight(self) -> Array:
        """Weight in the aggregate, not normalised."""

    @property
    def update_norm(self) -> Array:
        """Euclidean norm of the update."""

    @property
    def cosine(self) -> Array:
        """Cosine of update and aggregate."""

    @property
    def loss_before(self) -> Array:
        """Mean loss of the round's global model on the silo's training rows."""

    @property
    def update_rounds(self) -> Sequence[int]:
        """Numbers of the rounds whose updates are stored; empty without a detailed ledger."""

    def updates(self, round_number: int) -> tuple[Sequence[str], Vectors, Vectors, Vectors]:
        """Returns silos [cohort], weights [cohort], global weights [parameters], updates [cohort, parameters]."""
