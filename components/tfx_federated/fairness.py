"""Fairness reports in a notebook: their content as DataFrames and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from tfx_federated.fairness_evaluator import figures, report, report_frames


@dataclass(frozen=True, eq=False, repr=False)
class LoadedReport:
    """A report of FairnessEvaluator.

    Attributes:
        uri: Where it was read from.
        content: All of it, as `fairness_evaluator/report_schema.json` describes it.
        silos: One row per silo; the columns are those of `silos.parquet`.
        rules: One row per judged rule.
        comparisons: One row per compared model: how many silos the judged model helps and hurts.
        across_silos: One row per statistic over silos, with its interval.
    """

    uri: str
    content: dict[str, Any]
    silos: pd.DataFrame
    rules: pd.DataFrame
    comparisons: pd.DataFrame
    across_silos: pd.DataFrame

    def __repr__(self) -> str:
        verdict = "blessed" if self.content["blessed"] else "not blessed"
        return f"LoadedReport({self.uri!r}: {verdict}, {self.content['metric']} of {len(self.silos):,} silos)"

    def metric_by_size(self) -> go.Figure:
        """Returns the metric of every silo against its rows."""
        return figures.metric_by_size(self.content, self.silos)

    def distribution(self) -> go.Figure:
        """Returns how many silos have which metric."""
        return figures.distribution(self.content, self.silos)

    def benefit(self, model: str = "baseline") -> go.Figure:
        """Returns the gain of every silo over another model, sorted.

        Args:
            model: One of `comparisons.index`.

        Raises:
            ValueError: The report does not compare with that model.
        """
        return figures.benefit(self.content, self.silos, model)

    def calibration(self) -> go.Figure:
        """Returns the calibration over all rows and of the largest, the smallest and the worst silo."""
        return figures.calibration(self.content)

    def groups(self, place: int = 0) -> go.Figure:
        """Returns the metric of the groups inside silos.

        Args:
            place: Which of `content["slices"]`.

        Raises:
            IndexError: The report has no such slices.
        """
        return figures.groups(self.content, place)


def load_report(uri: str) -> LoadedReport:
    """Loads the report that FairnessEvaluator wrote.

    Example:
        ```python
        from tfx_federated import fairness

        report = fairness.load_report(fairness_evaluator.outputs["report"].get()[0].uri)
        report.silos.query("evidence == 'enough'").nsmallest(10, "value")
        report.metric_by_size()
        ```

    Args:
        uri: The uri of a FairnessReport artifact.

    Raises:
        ValueError: The report is missing, broken, or of another schema; the message says what to do.
    """
    content = report.read(uri)
    return LoadedReport(
        uri,
        content,
        report_frames.silos(content),
        report_frames.rules(content),
        report_frames.comparisons(content),
        report_frames.across_silos(content),
    )
