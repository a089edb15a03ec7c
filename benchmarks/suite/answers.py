"""What a question comes to: a table, a figure, sentences made from the numbers, and all numbers in long form."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa

from benchmarks.suite import measures, scales, trainings
from tfx_federated.statistics import bootstrap, intervals

RECORDS = pa.schema(
    [
        ("question", pa.string()),
        ("run", pa.string()),
        ("settings", pa.string()),
        ("seed", pa.int64()),
        ("silo", pa.string()),
        ("rows", pa.int64()),
        ("model", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Context:
    """What a question has at hand.

    Attributes:
        train: Trains, or finds what was trained.
        scale: How much is measured.
    """

    train: trainings.Trainings
    scale: scales.Scale


@dataclasses.dataclass(frozen=True)
class Record:
    """One number; the fields are the columns of the Parquet file.

    Attributes:
        question: Name of the question.
        run: Key of the training.
        settings: What was trained, as JSON.
        seed: Its seed.
        silo: Name of the silo; empty for all.
        rows: Training rows of the silo, or of all.
        model: Name of the model.
        metric: Name of the metric or the statistic.
        value: NaN where nothing is claimed.
        lower: Lower bound; NaN where there is none.
        upper: Upper bound; NaN where there is none.
    """

    question: str
    run: str
    settings: str
    seed: int
    silo: str
    rows: int
    model: str
    metric: str
    value: float
    lower: float = math.nan
    upper: float = math.nan


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Attributes:
        question: Its name.
        title: What it asks.
        sentences: What the numbers show.
        table: A row for each thing that is compared.
        figure: One figure.
        records: All numbers.
    """

    question: str
    title: str
    sentences: Sequence[str]
    table: pd.DataFrame
    figure: go.Figure
    records: Sequence[Record]


class Question(Protocol):
    """A module of `questions`."""

    NAME: str
    TITLE: str

    def answer(self, context: Context) -> Answer:
        """Trains what it needs and sums it up."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where numbers come from: the part of a record that they share."""

    question: str
    training: trainings.Training
    model: str

    def record(self, metric: str, value: float, **fields: Any) -> Record:
        """Returns a record.

        Args:
            metric: Name of the metric.
            value: Its value.
            **fields: `silo`, `rows`, `lower` and `upper`.
        """
        described = json.dumps(self.training.describe(), sort_keys=True)
        fields = {"silo": "", "rows": 0, **fields}
        seed = self.training.manifest.seed
        return Record(
            self.question, self.training.key, described, seed, model=self.model, metric=metric, value=value, **fields
        )

    def by_silo(self, test: measures.TestRows, metric: str, found: intervals.Intervals) -> list[Record]:
        """Returns a record for each silo."""
        return [
            self.record(metric, float(value), silo=silo, rows=int(rows), lower=float(lower), upper=float(upper))
            for silo, rows, value, lower, upper in zip(
                test.silos, test.training_rows, found.estimate, found.lower, found.upper, strict=True
            )
        ]

    def of_values(self, test: measures.TestRows, values: measures.Values) -> list[Record]:
        """Returns the records of a model: AUC and loss of each silo, and the AUC over all rows."""
        losses = [
            self.record("loss", float(loss), silo=silo, rows=int(rows))
            for silo, rows, loss in zip(test.silos, test.training_rows, values.loss, strict=True)
        ]
        overall = self.record("auc_over_all_rows", values.overall, rows=int(test.training_rows.sum()))
        return [*self.by_silo(test, "auc", values.intervals), *losses, overall]

    def estimate(self, metric: str, found: bootstrap.Estimate, rows: int) -> Record:
        """Returns the record of a statistic over silos, about silos with endless rows."""
        return self.record(metric, found.corrected, rows=rows, lower=found.lower, upper=found.upper)


@dataclasses.dataclass(frozen=True)
class Number:
    """A number with bounds, over seeds: the mean of the values, the lowest and the highest bound."""

    value: float
    lower: float
    upper: float

    @classmethod
    def over_seeds(cls, found: Iterable[bootstrap.Estimate]) -> Number:
        """Sums up what each seed found."""
        estimates = list(found)
        lowest = min(estimate.lower for estimate in estimates)
        return cls(
            float(np.mean([estimate.corrected for estimate in estimates])), lowest, max(e.upper for e in estimates)
        )

    @property
    def verdict(self) -> str:
        """`gains`, `loses`, or `shows no difference` where the bounds hold 0."""
        return "gains" if self.lower > 0 else "loses" if self.upper < 0 else "shows no difference"

    def text(self, is_difference: bool = False) -> str:
        """Returns the number with its bounds."""
        sign = "+" if is_difference else ""
        if not math.isfinite(self.value):
            return "-"
        if not math.isfinite(self.lower):
            return f"{self.value:{sign}.3f}"
        return f"{self.value:{sign}.3f} [{self.lower:{sign}.3f}, {self.upper:{sign}.3f}]"


def halves(test: measures.TestRows, claimed: measures.tables.Mask) -> dict[str, measures.tables.Mask]:
    """Returns the smaller and the larger half of the silos with enough test rows, by their training rows.

    Args:
        test: The test rows.
        claimed: Silos with enough test rows, [silos].
    """
    order = np.flatnonzero(claimed)[np.argsort(test.training_rows[claimed], kind="stable")]
    smaller = np.zeros(len(claimed), np.bool_)
    smaller[order[: len(order) // 2]] = True
    return {"smaller half": smaller, "larger half": claimed & ~smaller}
