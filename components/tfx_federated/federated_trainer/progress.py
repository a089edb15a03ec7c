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
        self._has_bar = sys.stderr.isatty()
        self._bar = tqdm.tqdm(total=rounds, desc="Federated training", unit="round", disable=not self._has_bar)

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Shows one event of `progress.jsonl`."""
        match event["event"]:
            case "training":
                self._bar.update(event["finished"])
                self._say("%d silos, round %d of %d", event["silos"], event["finished"], event["rounds"])
            case "round":
                self._show_round(event)
            case "rejected":
                _warn_of_rejected(event)
            case "worker lost":
                logging.warning(
                    "Federated training: worker %s is lost (%s), and with it %d silos; the round is run again without "
                    "them",
                    event["address"],
                    event["reason"],
                    len(event["silos"]),
                )
            case "worker found":
                self._say("worker %s is found again", event["address"])
            case "left out":
                self._say("round %d: left out %s", event["round"], ", ".join(event["silos"]))
            case "updates left out":
                self._say(
                    "from round %d on updates are not stored: they would take more than the %d bytes of maximum_bytes",
                    event["round"],
                    event["maximum_bytes"],
                )
            case "compiled":
                self._say("%d compilations by XLA", event["compilations"])
            case "stopped":
                self._say("no better model since round %d, stopped after %d", event["best_round"], event["round"])
            case "checkpoint":
                pass
            case other:
                self._say(other)

    def _show_round(self, event: Mapping[str, Any]) -> None:
        # Under privacy the loss of the training rows is not told.
        loss = "not told" if event["loss"] is None else f"{event['loss']:.6f}"
        self._bar.update()
        self._bar.set_postfix(loss=loss)
        self._say("round %d of %d: loss %s, %.2f s", event["round"], event["rounds"], loss, event["seconds"])

    def _say(self, text: str, *values: Any) -> None:
        if not self._has_bar:
            logging.info("Federated training: " + text, *values)


def _warn_of_rejected(event: Mapping[str, Any]) -> None:
    for silo in event["silos"]:
        logging.warning(
            "Federated training: round %d: the update of silo %r is not finite and is left out; look at its rows, "
            "or lower client_learning_rate",
            event["round"],
            silo,
        )
    for silo in event["local_models"]:
        logging.warning(
            "Federated training: round %d: silo %r, training alone, has an update that is not finite; it keeps the "
            "model that it had",
            event["round"],
            silo,
        )
