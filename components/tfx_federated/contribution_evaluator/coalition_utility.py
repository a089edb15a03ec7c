"""The utility of many models at once: one compiled call for their predictions, one pass for the metric."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfx_federated.contribution_evaluator import held_out_rows, metrics, model_function, utilities
from tfx_federated.contribution_evaluator.federated_run import Vectors

# Models whose predictions are held at once.
_MODELS = 64


class CoalitionUtility:
    """Evaluates models on held-out rows.

    Attributes:
        evaluations: How many models were evaluated so far.
        undefined_silos: Silos on whose rows the metric is undefined, which do not count in a mean over silos.
    """

    def __init__(
        self,
        model: model_function.ModelFunction,
        rows: held_out_rows.HeldOutRows,
        utility: utilities.Utility,
    ) -> None:
        """Takes what is evaluated, and how.

        Args:
            model: The model as a function of its weights.
            rows: The rows.
            utility: What is measured.
        """
        self.evaluations = 0
        self._model = model
        self._rows = rows
        self._utility = utility
        self._is_checked = False

    @property
    def undefined_silos(self) -> list[str]:
        """Names of the silos whose rows do not count in a mean over silos."""
        if isinstance(self._utility, utilities.OverallMetric) or self._utility.metric != "auc":
            return []
        return [silo for place, silo in enumerate(self._rows.silos) if len(np.unique(self._rows.of_silo(place)[1])) < 2]

    def __call__(self, weights: Vectors) -> npt.NDArray[np.float64]:
        """Returns the utility of each model, [models]; higher is better.

        Args:
            weights: [models, parameters].

        Raises:
            MetricError: The metric is undefined for such labels or predictions.
        """
        self.evaluations += len(weights)
        parts = [self._measured(weights[start : start + _MODELS]) for start in range(0, len(weights), _MODELS)]
        return np.concatenate(parts)

    def _measured(self, weights: Vectors) -> npt.NDArray[np.float64]:
        predictions = self._model.predictions(weights, self._rows.features)
        if not self._is_checked:
            metrics.require_defined(self._utility.metric, self._rows.labels, predictions)
            self._is_checked = True
        if isinstance(self._utility, utilities.OverallMetric):
            values = of_all_rows(self._utility.metric, predictions, self._rows.labels)
        else:
            values = np.nanmean(of_silos(self._utility.metric, predictions, self._rows), axis=1)
        if np.isnan(values).any():
            raise metrics.MetricError(
                f"metric {self._utility.metric!r} is undefined on the held-out rows, or a model's predictions are not "
                "finite; give rows of both classes, or take 'accuracy'"
            )
        return values


def of_all_rows(metric: str, predictions: metrics.Predictions, labels: metrics.Labels) -> npt.NDArray[np.float64]:
    """Returns a metric over all rows of each model, [models]."""
    if metric == "auc":
        return metrics.areas(predictions, labels)
    return metrics.OF_ROWS[metric](predictions, labels).mean(axis=1)


def of_silos(metric: str, predictions: metrics.Predictions, rows: held_out_rows.HeldOutRows) -> npt.NDArray[np.float64]:
    """Returns a metric over the rows of each silo, of each model, [models, silos]; NaN where it is undefined."""
    starts = rows.ends - rows.counts
    if metric != "auc":
        values = metrics.OF_ROWS[metric](predictions, rows.labels)
        return np.add.reduceat(values, starts, axis=1) / rows.counts
    areas = [
        metrics.areas(predictions[:, start:end], rows.labels[start:end])
        for start, end in zip(starts.tolist(), rows.ends.tolist(), strict=True)
    ]
    return np.stack(areas, axis=1)
