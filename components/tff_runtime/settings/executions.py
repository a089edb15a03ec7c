"""Where the silos' training runs."""

from __future__ import annotations

import dataclasses
import math

from tff_runtime.settings import encoding


@dataclasses.dataclass(frozen=True)
class InProcess:
    """The TensorFlow graphs in the trainer's own process, silos in parallel threads, on the GPU where there is one.

    Attributes:
        threads: Silos, or groups of small silos, trained at the same time; None for one per processor.
    """

    threads: int | None = None

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(self.threads is None or self.threads >= 1, self, "threads", "at least 1")


@dataclasses.dataclass(frozen=True)
class Native:
    """TFF's C++ runtime as one worker on this machine."""


@dataclasses.dataclass(frozen=True)
class Remote:
    """TFF's C++ workers at given addresses, each reading the rows of its own silos by path.

    TFF's gRPC has no encryption of its own: see docs/components/federated_trainer.md.

    Attributes:
        workers: Addresses, `host:port`, at least one. Silo number k belongs to worker k modulo their number, unless
            `worker_of_silo` says otherwise.
        start_deadline_seconds: How long a worker may take to answer at the start, positive.
        round_deadline_seconds: How long a worker may take for its part of a round, positive.
        minimum_silos: A round without a lost worker's silos needs so many others, at least 1.
        worker_of_silo: Position of the worker of a silo in `workers`, by silo.
    """

    workers: tuple[str, ...]
    start_deadline_seconds: float = 60.0
    round_deadline_seconds: float = 600.0
    minimum_silos: int = 1
    worker_of_silo: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the ranges."""
        well_formed = all(":" in worker for worker in self.workers)
        encoding.require(len(self.workers) >= 1 and well_formed, self, "workers", "a list of host:port")
        encoding.require(0 < self.start_deadline_seconds < math.inf, self, "start_deadline_seconds", "positive")
        encoding.require(0 < self.round_deadline_seconds < math.inf, self, "round_deadline_seconds", "positive")
        encoding.require(self.minimum_silos >= 1, self, "minimum_silos", "at least 1")
        known = all(0 <= worker < len(self.workers) for worker in self.worker_of_silo.values())
        encoding.require(known, self, "worker_of_silo", "a mapping of silo to a position in workers")


ALTERNATIVES = (InProcess, Native, Remote)
