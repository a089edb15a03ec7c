"""Shows how a training goes on: a bar on a terminal, a line per event elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import tqdm
from absl import logging


class TrainingProgress:
    """Receives the events of a job; use it as a context manager."""

    def __init__(self, rounds: int) -> None:
        """Starts at round 0 of `rounds`."""
        self._bar = tqdm.tqdm(
            total=rounds, desc="Federated training", unit="round", disable=not sys.stderr.isatty(), leave=False
        )

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Shows one event of `progress.jsonl`."""
        if event["event"] == "training":
            self._bar.update(event["finished"])
            logging.info(
                "Federated training: %d silos, round %d of %d", event["silos"], event["finished"], event["rounds"]
            )
        elif event["event"] == "round":
            self._bar.update()
            self._bar.set_postfix(loss=f"{event['loss']:.4f}")
            logging.info(
                "Round %d of %d: loss %.6f, %.2f s", event["round"], event["rounds"], event["loss"], event["seconds"]
            )
        else:
            logging.info("Federated training: %s", event["event"])
