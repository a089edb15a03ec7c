"""Contribution reports in a notebook, and the sheets that single silos may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from tfx_federated.contribution_evaluator import report, report_page, silo_frame


@dataclass(frozen=True, eq=False, repr=False)
class LoadedReport:
    """A report of ContributionEvaluator.

    Attributes:
        uri: Where it was read from.
        content: All of it, as `contribution_evaluator/report_schema.json` describes it.
        silos: One row per silo; the columns are those of `silos.parquet`.
    """

    uri: str
    content: dict[str, Any]
    silos: pd.DataFrame

    def __repr__(self) -> str:
        found = len({finding["silo"] for finding in self.content["findings"]})
        return f"LoadedReport({self.uri!r}: {len(self.silos):,} silos, {found:,} with findings)"

    def html(self) -> str:
        """Returns the page of all silos."""
        return report_page.render(self.content)

    def sheet(self, silo: str) -> str:
        """Returns the page for one silo: it names no other silo, and shows no number of another.

        Quartiles over silos are on it where at least five silos are behind them.

        Args:
            silo: Its name.

        Raises:
            ValueError: The report has no such silo.
        """
        return report_page.render_sheet(self.content, silo)


def load_report(uri: str) -> LoadedReport:
    """Loads the report that ContributionEvaluator wrote.

    Example:
        ```python
        from tfx_federated import contributions

        report = contributions.load_report(contribution_evaluator.outputs["report"].get()[0].uri)
        report.silos.nlargest(10, "contribution")
        pathlib.Path("AS.html").write_text(report.sheet("AS"), "utf-8")
        ```

    Args:
        uri: The uri of a ContributionReport artifact.

    Raises:
        ValueError: The report is missing, broken, or of another schema; the message says what to do.
    """
    content = report.read(uri)
    return LoadedReport(uri, content, silo_frame.silos(content))
