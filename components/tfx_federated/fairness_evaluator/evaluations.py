"""Runs an evaluation on Beam: by cells where all metrics can be read from them, else by TFMA's own evaluator."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator
from tensorflow_model_analysis.extractors import (
    example_weights_extractor,
    extractor,
    features_extractor,
    labels_extractor,
    predictions_extractor,
)
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib
from tensorflow_model_analysis.writers import eval_config_writer

from tfx_federated import example_shards
from tfx_federated.fairness_evaluator import (
    cell_evaluator,
    cell_metrics,
    checked_examples,
    evaluation_config,
    example_batches,
    findings,
    local_evaluator,
    metrics_file,
    predictions,
    published_silos,
    silo_results,
    slice_results,
    slice_rows,
    tfma_results,
    threshold_validation,
)
from tfx_federated.statistics import evidence

# Score above which a prediction counts as positive for parity between silos.
PARITY_THRESHOLD = 0.5


@dataclass(frozen=True)
class Request:
    """What to evaluate, and how.

    Attributes:
        shards: The rows.
        silo_key: Feature that holds the silo.
        eval_config: Completed configuration.
        models: Its models, in its order.
        silos: The silos as they are published.
        metric: Name of the judged metric.
        minimums: What a claim about a silo needs.
        privacy_minimum: Rows below which no slice is published, or None.
        confidence: Of intervals.
        output_uri: Folder of the evaluation.
        scratch: Folder for files that are needed while it runs.
    """

    shards: Sequence[example_shards.ExampleShard]
    silo_key: str
    eval_config: config_pb2.EvalConfig
    models: Sequence[tfma.EvalSharedModel]
    silos: published_silos.PublishedSilos
    metric: str
    minimums: evidence.Minimums
    privacy_minimum: int | None
    confidence: float
    output_uri: str
    scratch: str


def run(request: Request, make_pipeline: Callable[[], beam.Pipeline]) -> findings.Findings:
    """Evaluates, and writes what TFMA's tools read.

    Args:
        request: What to evaluate.
        make_pipeline: Makes the Beam pipeline.

    Raises:
        ValueError: The rows, or the models' answers to them, cannot be evaluated.
    """
    metrics, others = cell_metrics.of_config(request.eval_config)
    reasons = [*(f"metric {name!r}" for name in others), *_needs_tfma(request)]
    if not reasons:
        return _by_cells(request, metrics, make_pipeline)
    logging.info("FairnessEvaluator: TFMA evaluates row by row, because of %s", ", ".join(reasons))
    return _by_tfma(request, make_pipeline)


def _needs_tfma(request: Request) -> Iterator[str]:
    eval_config = request.eval_config
    if eval_config.cross_slicing_specs:
        yield "cross_slicing_specs"
    if any(spec.slice_keys_sql for spec in eval_config.slicing_specs):
        yield "slice_keys_sql"
    if eval_config.options.compute_confidence_intervals.value:
        yield "compute_confidence_intervals"
    for spec, model in zip(eval_config.model_specs, request.models, strict=True):
        if not predictions.is_one_number_a_row(model.model_path, spec.signature_name):
            yield f"the outputs of signature {spec.signature_name!r}"


def _by_cells(
    request: Request, metrics: list[cell_metrics.CellMetric], make_pipeline: Callable[[], beam.Pipeline]
) -> findings.Findings:
    judged = _judged(request, metrics)
    has_classes = any(metric.edges for metric in metrics)
    layout = cell_metrics.layout(metrics, [PARITY_THRESHOLD] if has_classes else [])
    models = _models(request)
    evaluation = cell_evaluator.Evaluation(
        silo_key=request.silo_key,
        silos=request.silos,
        specs=tuple(
            dict.fromkeys(
                slice_rows.SliceSpec.of(spec, request.silo_key, request.silos.names)
                for spec in request.eval_config.slicing_specs
            )
        ),
        models=models,
        layout=layout,
        pairs_weighted=bool(judged.key.example_weighted),
        has_weights=bool(request.eval_config.model_specs[0].example_weight_key),
    )
    _run_on_beam(request, evaluation, make_pipeline)
    baseline = evaluation_config.BASELINE if evaluation_config.BASELINE in models else None
    results = [
        slice_results.of_spec(request.scratch, number, evaluation, metrics, baseline)
        for number in range(len(evaluation.specs))
    ]
    results = _without_repetitions([_published(result, request, models[0]) for result in results], evaluation)
    question = silo_results.Question(
        metric=judged.metric,
        name=request.metric,
        key=judged.key,
        minimums=request.minimums,
        confidence=request.confidence,
        parity_threshold=PARITY_THRESHOLD if has_classes else None,
    )
    found = silo_results.of_cells(request.scratch, evaluation, question, results)
    validation = _write(request, evaluation, results, found, judged.key)
    return findings.Findings(
        table=found.table,
        parity=found.parity,
        rates=found.rates,
        cells=findings.SiloCells(found.cells, found.overall),
        slices=[
            findings.SlicedMetric(spec, result, _rows(result, evaluation.models[0]), result.values[judged.key])
            for spec, result in zip(evaluation.specs, results, strict=True)
            if spec not in (silo_results.OVERALL, silo_results.BY_SILO) and result.slices
        ],
        validation=validation,
    )


@dataclass(frozen=True)
class _Judged:
    metric: cell_metrics.CellMetric
    key: metric_types.MetricKey


def _judged(request: Request, metrics: Sequence[cell_metrics.CellMetric]) -> _Judged:
    candidate = evaluation_config.candidate_name(request.eval_config)
    found = {
        key._replace(name=request.metric): metric
        for metric in metrics
        for key in metric.keys
        if request.metric in metric.names and key.model_name == candidate
    }
    if len(found) != 1:
        raise ValueError(
            f"metric {request.metric!r} is computed several times (weighted and unweighted, or for several outputs); "
            "keep one in eval_config's metrics_specs"
        )
    ((key, metric),) = found.items()
    return _Judged(metric, key)


def _run_on_beam(
    request: Request, evaluation: cell_evaluator.Evaluation, make_pipeline: Callable[[], beam.Pipeline]
) -> None:
    extractors = [
        cell_evaluator.extractor_of_slices(evaluation),
        features_extractor.FeaturesExtractor(eval_config=request.eval_config),
        labels_extractor.LabelsExtractor(eval_config=request.eval_config),
        example_weights_extractor.ExampleWeightsExtractor(eval_config=request.eval_config),
        _predictions(request),
    ]
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "ReadRows" >> example_batches.read(request.shards)
            | "Evaluate"
            >> tfma.ExtractEvaluateAndWriteResults(
                eval_config=request.eval_config,
                eval_shared_model=list(request.models),
                extractors=extractors,
                evaluators=[
                    cell_evaluator.evaluator_of_cells(
                        evaluation, run_after=predictions_extractor.PREDICTIONS_EXTRACTOR_STAGE_NAME
                    )
                ],
                writers=[
                    eval_config_writer.EvalConfigWriter(
                        request.output_uri,
                        eval_config=request.eval_config,
                        model_locations={model.model_name: model.model_path for model in request.models},
                    ),
                    cell_evaluator.writer_of_cells(request.scratch),
                ],
                output_path=request.output_uri,
            )
        )


def _predictions(request: Request) -> extractor.Extractor:
    return predictions.predictions_of_signatures(request.eval_config, list(request.models), request.silo_key)


def _models(request: Request) -> tuple[str, ...]:
    models = tuple(spec.name for spec in request.eval_config.model_specs)
    return models if len(models) > 1 else ("",)


def _without_repetitions(
    results: Sequence[slice_results.SliceResults], evaluation: cell_evaluator.Evaluation
) -> list[slice_results.SliceResults]:
    """Lets a slice that several specifications name be there once; those of all rows and of the silos stay whole."""
    whole = (silo_results.OVERALL, silo_results.BY_SILO)
    order = sorted(range(len(results)), key=lambda number: evaluation.specs[number] not in whole)
    seen: set[slicer_lib.SliceKeyType] = set()
    kept = list(results)
    for number in order:
        is_new = np.array([key not in seen for key in results[number].slices], np.bool_)
        seen.update(results[number].slices)
        if not is_new.all():
            kept[number] = results[number].where(is_new)
    return kept


def _rows(result: slice_results.SliceResults, candidate: str) -> np.ndarray:
    return result.values[metric_types.MetricKey(name="example_count", model_name=candidate)]


def _published(result: slice_results.SliceResults, request: Request, candidate: str) -> slice_results.SliceResults:
    if request.privacy_minimum is None or not result.slices:
        return result
    return result.where(_rows(result, candidate) >= request.privacy_minimum)


def _write(
    request: Request,
    evaluation: cell_evaluator.Evaluation,
    results: Sequence[slice_results.SliceResults],
    found: silo_results.SiloResults,
    judged: metric_types.MetricKey,
) -> validation_result_pb2.ValidationResult | None:
    overall, table = found.table.overall, found.table
    bounds = {
        silo_results.OVERALL: metrics_file.Bounds(np.array([overall.lower]), np.array([overall.upper])),
        silo_results.BY_SILO: metrics_file.Bounds(table.intervals.lower, table.intervals.upper),
    }
    metrics_file.write(
        request.output_uri,
        [
            (result, {judged: bounds[spec]} if spec in bounds else {})
            for spec, result in zip(evaluation.specs, results, strict=True)
            if result.slices
        ],
    )
    validation = threshold_validation.validate([result for result in results if result.slices], request.eval_config)
    threshold_validation.write(request.output_uri, validation)
    return validation if evaluation_config.has_thresholds(request.eval_config) else None


def _by_tfma(request: Request, make_pipeline: Callable[[], beam.Pipeline]) -> findings.Findings:
    eval_config = request.eval_config
    if request.privacy_minimum is not None:
        eval_config.options.min_slice_size.value = request.privacy_minimum
    own_models = [spec.name for spec in eval_config.model_specs if spec.name in predictions.MODELS_OF_SILOS]
    others = [spec.name for spec in eval_config.model_specs if spec.name not in own_models]
    evaluators = [
        metrics_plots_and_validations_evaluator.MetricsPlotsAndValidationsEvaluator(
            eval_config=evaluation_config.only_models(eval_config, others)
        ),
        *(local_evaluator.evaluator_of_defined_predictions(eval_config, name) for name in own_models),
    ]
    # A silo that is the empty string becomes an absent one.
    check = functools.partial(
        checked_examples.check_rows, silo_key=request.silo_key, label_key=evaluation_config.label_key(eval_config)
    )
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "ReadRows" >> example_batches.read(request.shards)
            | "CheckRows" >> beam.Map(check)
            | "PublishSilos" >> beam.Map(request.silos.rename, request.silo_key)
            | "Evaluate"
            >> tfma.ExtractEvaluateAndWriteResults(
                eval_config=eval_config,
                eval_shared_model=list(request.models),
                extractors=tfma.default_extractors(
                    eval_config=eval_config,
                    eval_shared_model=list(request.models),
                    custom_predict_extractor=_predictions(request),
                ),
                evaluators=evaluators,
                output_path=request.output_uri,
            )
        )
    table = tfma_results.read(
        request.output_uri,
        eval_config,
        request.silo_key,
        request.metric,
        request.silos.names,
        request.silos.pooled,
        request.minimums,
        request.confidence,
    )
    has_thresholds = evaluation_config.has_thresholds(eval_config)
    validation = tfma.load_validation_result(request.output_uri) if has_thresholds else None
    return findings.Findings(table, {}, {}, None, [], validation)
