"""TFMA metrics of the silos' own models, which answer for the silos they know only."""

from __future__ import annotations

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.api import types as tfma_types
from tensorflow_model_analysis.evaluators import evaluator, metrics_plots_and_validations_evaluator
from tensorflow_model_analysis.proto import config_pb2

from tfx_federated.fairness_evaluator import evaluation_config


def evaluator_of_defined_predictions(eval_config: config_pb2.EvalConfig, model: str) -> evaluator.Evaluator:
    """Returns an evaluator of the silos' own models over the rows for which they have a prediction.

    TFMA's metrics crash on a NaN prediction or count it as a low one. Rows of unknown silos are left out
    here, so that a silo without a local model has no local metric in TFMA's files.

    Args:
        eval_config: Completed configuration.
        model: `local_models` or `silo_models`.
    """
    inner = metrics_plots_and_validations_evaluator.MetricsPlotsAndValidationsEvaluator(
        eval_config=evaluation_config.only_models(eval_config, [model])
    )
    return evaluator.Evaluator(
        stage_name=f"Evaluate_{model}",
        run_after=inner.run_after,
        ptransform=_evaluate_defined(inner.ptransform, model),
    )


@beam.ptransform_fn
def _evaluate_defined(extracts: beam.PCollection, inner: beam.PTransform, model: str) -> dict[str, beam.PCollection]:
    metrics = extracts | "KeepDefined" >> beam.Filter(_is_defined, model) | "Evaluate" >> inner
    return {constants.METRICS_KEY: metrics[constants.METRICS_KEY]}


def _is_defined(extracts: tfma_types.Extracts, model: str) -> bool:
    prediction = extracts[constants.PREDICTIONS_KEY][model]
    values = prediction.values() if isinstance(prediction, dict) else [prediction]
    return all(bool(np.all(np.isfinite(value))) for value in values)
