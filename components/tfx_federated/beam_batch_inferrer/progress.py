"""What a worker tells while it scores: Beam's metrics, and a line in the log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from absl import logging
from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import MetricResults
from apache_beam.metrics.metricbase import MetricName

_NAMESPACE = "tfx_federated.BeamBatchInferrer"
_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Counts rows, and measures the stages that each batch goes through."""

    def __init__(self) -> None:
        """Starts the clock."""
        self._rows = Metrics.counter(_NAMESPACE, "rows")
        self._dead_letters = Metrics.counter(_NAMESPACE, "dead_letters")
        self._batch_rows = Metrics.distribution(_NAMESPACE, "batch_rows")
        self._began = self._told = time.monotonic()
        self._total = 0

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures a stage of one batch, in microseconds: `read`, `score` or `write`."""
        began = time.monotonic()
        yield
        Metrics.distribution(_NAMESPACE, f"{name}_microseconds").update(int((time.monotonic() - began) * 1e6))

    def count(self, rows: int, dead_letters: int, source: str) -> None:
        """Counts a batch, and now and then logs a line.

        Args:
            rows: Rows of the batch.
            dead_letters: Those of them that are at fault.
            source: The shard.
        """
        self._rows.inc(rows)
        self._dead_letters.inc(dead_letters)
        self._batch_rows.update(rows)
        self._total += rows
        now = time.monotonic()
        if now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            speed = self._total / (now - self._began)
            logging.info("This worker has scored %d rows, %d a second; it is in %s", self._total, speed, source)


def log_metrics(results: MetricResults) -> None:
    """Logs the metrics of a pipeline that has ended, where its runner tells them."""
    found = results.query()
    for counter in found["counters"]:
        _log(counter.key.metric, str(counter.result))
    for distribution in found["distributions"]:
        values = distribution.result
        text = f"{values.count} times, mean {values.mean:.0f}, least {values.min}, most {values.max}"
        _log(distribution.key.metric, text)


def _log(name: MetricName, text: str) -> None:
    if name.namespace == _NAMESPACE:
        logging.info("BeamBatchInferrer, %s: %s", name.name, text)
