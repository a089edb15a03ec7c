"""Federated averaging in Flower, simulated by Ray with as many actors as there are processors; clients in NumPy."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from importlib import metadata

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from benchmarks.trainer import contract
from benchmarks.trainer.contenders import flower_client


class TimedFedAvg(FedAvg):
    """Flower's federated averaging of all silos, which notes how long each round takes."""

    def __init__(self, silos: int) -> None:
        super().__init__(fraction_evaluate=0.0, min_train_nodes=silos, min_available_nodes=silos)
        self.seconds: list[float] = []
        self._silos = silos
        self._start = 0.0

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Starts a round."""
        self._start = time.monotonic()
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Ends a round.

        Raises:
            RuntimeError: A silo failed; Flower would go on without it.
        """
        replies = list(replies)
        trained = sum(not reply.has_error() for reply in replies)
        if trained < self._silos:
            raise RuntimeError(f"round {server_round}: {trained} of {self._silos} silos trained")
        aggregated = super().aggregate_train(server_round, replies)
        self.seconds.append(time.monotonic() - self._start)
        return aggregated


def train(workload: contract.Workload, rounds: int) -> contract.Result:
    """Trains."""
    strategy = TimedFedAvg(len(workload.counts))
    server = ServerApp()
    trained: list[np.ndarray] = []

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        result = strategy.start(
            grid,
            ArrayRecord(list(workload.weights)),
            rounds,
            train_config=ConfigRecord({"workload": str(workload.folder)}),
        )
        trained.extend(result.arrays.to_numpy_ndarrays())

    with tempfile.TemporaryDirectory() as ray_folder:
        run_simulation(
            server,
            flower_client.app,
            num_supernodes=len(workload.counts),
            backend_config={
                "init_args": {"num_cpus": os.cpu_count(), "_temp_dir": ray_folder},
                "client_resources": {"num_cpus": 1},
            },
        )
    versions = {name: metadata.version(name) for name in ("flwr", "ray", "numpy")}
    return contract.Result(trained, strategy.seconds, versions)


if __name__ == "__main__":
    contract.run_contender(train)
