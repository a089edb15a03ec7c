"""Completes a user's EvalConfig: the compared models, the slices per silo, the counts that the report needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import tensorflow as tf
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib
from tensorflow_model_analysis.utils import config_util

BASELINE = constants.BASELINE_KEY
CANDIDATE = constants.CANDIDATE_KEY
# Models that a silo has of its own: trained alone, and personalised.
LOCAL_MODELS = "local_models"
SILO_MODELS = "silo_models"


def complete(
    eval_config: config_pb2.EvalConfig, silo_key: str, has_baseline: bool, own_models: Sequence[str]
) -> config_pb2.EvalConfig:
    """Returns the configuration that the evaluation runs with; the argument stays as it is.

    Args:
        eval_config: What the user asks for: one ModelSpec with a `label_key` (and, if it differs, one with
            `is_baseline`), metrics, slices and thresholds.
        silo_key: Name of the feature that holds the silo.
        has_baseline: Whether a baseline model is compared. Without one, change thresholds are left out, as TFX's
            Evaluator does for the first model of a pipeline.
        own_models: Which of `local_models` and `silo_models` are compared. They are held against no threshold.

    Returns:
        A configuration whose models are named `candidate`, `baseline`, `local_models` and `silo_models` (a candidate
        alone has the empty name, as TFMA wants it), with an overall slice, a slice per silo, and the metrics
        `example_count` and `mean_label` over unweighted rows.

    Raises:
        ValueError: The configuration asks for something that cannot be judged silo by silo; the message says what.
    """
    completed = config_pb2.EvalConfig()
    completed.CopyFrom(eval_config)
    _require_supported(completed)
    _complete_model_specs(completed, has_baseline, bool(own_models))
    _bind_thresholds(completed)
    _add_slices(completed, silo_key)
    completed.metrics_specs.append(_count_metrics())
    completed = config_util.update_eval_config_with_defaults(completed, has_baseline=has_baseline, rubber_stamp=True)
    if own_models:
        _add_own_models(completed, own_models)
    config_util.verify_eval_config(completed)
    return completed


def candidate_name(eval_config: config_pb2.EvalConfig) -> str:
    """Returns the name of the judged model in a completed configuration."""
    return CANDIDATE if len(eval_config.model_specs) > 1 else ""


def label_key(eval_config: config_pb2.EvalConfig) -> str:
    """Returns the feature that holds the judged model's label."""
    return eval_config.model_specs[0].label_key


def metric_names(eval_config: config_pb2.EvalConfig) -> list[str]:
    """Returns the names of the scalar metrics that a configuration computes, sorted."""
    computations = metric_specs.to_computations(list(eval_config.metrics_specs), eval_config=eval_config)
    keys = [key for computation in computations for key in computation.keys]
    return sorted({key.name for key in keys if key.sub_key is None and not key.name.startswith("_")})


def require_metric(eval_config: config_pb2.EvalConfig, metric: str) -> None:
    """Raises ValueError if the configuration does not compute the metric."""
    names = metric_names(eval_config)
    if metric not in names:
        raise ValueError(
            f"metric {metric!r} is not in eval_config, which computes {names}: name one of these, or add the metric to "
            "metrics_specs"
        )


def classes_of(eval_config: config_pb2.EvalConfig, metric: str) -> set[str]:
    """Returns the class names of the metrics that are called so."""
    keys = metric_specs.keys_and_metrics_from_specs(eval_config, eval_config.metrics_specs)
    return {config.class_name for key, config, _ in keys if key.name == metric}


def only_models(eval_config: config_pb2.EvalConfig, names: Collection[str]) -> config_pb2.EvalConfig:
    """Returns the configuration with the metrics of some models only; a metric without a name is of all models."""
    selected = config_pb2.EvalConfig()
    selected.CopyFrom(eval_config)
    del selected.metrics_specs[:]
    selected.metrics_specs.extend(
        spec for spec in eval_config.metrics_specs if not spec.model_names or set(spec.model_names) & set(names)
    )
    return selected


def has_thresholds(eval_config: config_pb2.EvalConfig) -> bool:
    """Returns whether TFMA has a threshold to check."""
    return bool(metric_specs.metric_thresholds_from_metrics_specs(eval_config.metrics_specs, eval_config=eval_config))


def _require_supported(eval_config: config_pb2.EvalConfig) -> None:
    candidates = [spec for spec in eval_config.model_specs if not spec.is_baseline]
    if len(candidates) != 1:
        raise ValueError(
            f"eval_config has {len(candidates)} model_specs beside the baseline's; give exactly one, with label_key: "
            "baseline and local models are added from the component's inputs"
        )
    for spec in eval_config.model_specs:
        if not spec.label_key:
            raise ValueError("eval_config: a ModelSpec has no label_key; name the feature that holds the label")
        if spec.model_type not in ("", constants.TF_GENERIC):
            raise ValueError(
                f"eval_config: model_type {spec.model_type!r} is not supported; leave it out: models are run by their "
                "signature on serialized examples"
            )
        if spec.preprocessing_function_names:
            raise ValueError(
                "eval_config: preprocessing_function_names is not supported; the signature takes raw examples, and the "
                "label is a raw feature"
            )
    if eval_config.options.min_slice_size.value > 1:
        raise ValueError(
            "eval_config: options.min_slice_size hides small silos; leave it out and set FairnessEvaluator's "
            "minimum_rows or privacy_minimum"
        )


def _complete_model_specs(eval_config: config_pb2.EvalConfig, has_baseline: bool, has_local: bool) -> None:
    candidate = next(spec for spec in eval_config.model_specs if not spec.is_baseline)
    baseline = next((spec for spec in eval_config.model_specs if spec.is_baseline), None)
    renamed = {candidate.name: CANDIDATE}
    candidate.name = CANDIDATE if has_baseline or has_local else ""
    specs = [candidate]
    if has_baseline:
        if baseline is None:
            baseline = config_pb2.ModelSpec()
            baseline.CopyFrom(candidate)
            baseline.is_baseline = True
        renamed[baseline.name] = BASELINE
        baseline.name = BASELINE
        specs.append(baseline)
    for spec in specs:
        spec.signature_name = spec.signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        spec.model_type = constants.TF_GENERIC
    copies = [config_pb2.ModelSpec.FromString(spec.SerializeToString()) for spec in specs]
    del eval_config.model_specs[:]
    eval_config.model_specs.extend(copies)
    for metrics_spec in eval_config.metrics_specs:
        names = [renamed[name] for name in metrics_spec.model_names if name in renamed]
        metrics_spec.model_names[:] = names


def _bind_thresholds(eval_config: config_pb2.EvalConfig) -> None:
    # A threshold without a slice holds for every slice there is: the slices added for the silos would make it stricter
    # than what the user wrote.
    slices = list(eval_config.slicing_specs) or [config_pb2.SlicingSpec()]
    for metrics_spec in eval_config.metrics_specs:
        for metric in metrics_spec.metrics:
            if metric.HasField("threshold"):
                metric.per_slice_thresholds.add(slicing_specs=slices, threshold=metric.threshold)
                metric.ClearField("threshold")
        for name, threshold in metrics_spec.thresholds.items():
            metrics_spec.per_slice_thresholds[name].thresholds.add(slicing_specs=slices, threshold=threshold)
        metrics_spec.ClearField("thresholds")


def _add_slices(eval_config: config_pb2.EvalConfig, silo_key: str) -> None:
    present = {slicer_lib.deserialize_slice_spec(spec) for spec in eval_config.slicing_specs}
    for spec in (config_pb2.SlicingSpec(), config_pb2.SlicingSpec(feature_keys=[silo_key])):
        if slicer_lib.deserialize_slice_spec(spec) not in present:
            eval_config.slicing_specs.append(spec)


def _count_metrics() -> config_pb2.MetricsSpec:
    return config_pb2.MetricsSpec(
        metrics=[config_pb2.MetricConfig(class_name=name) for name in ("ExampleCount", "MeanLabel")],
        example_weights=config_pb2.ExampleWeightOptions(unweighted=True),
    )


def _add_own_models(eval_config: config_pb2.EvalConfig, own_models: Sequence[str]) -> None:
    for metrics_spec in eval_config.metrics_specs:
        metrics_spec.model_names[:] = [name or CANDIDATE for name in metrics_spec.model_names] or [CANDIDATE]
    of_candidate = list(_metrics_of_candidate(eval_config))
    for name in own_models:
        model = eval_config.model_specs.add()
        model.CopyFrom(eval_config.model_specs[0])
        model.name = name
        model.signature_name = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        for spec in of_candidate:
            copy = eval_config.metrics_specs.add()
            copy.CopyFrom(spec)
            copy.model_names[:] = [name]
    eval_config.model_specs[0].name = CANDIDATE


def _metrics_of_candidate(eval_config: config_pb2.EvalConfig) -> Iterator[config_pb2.MetricsSpec]:
    for metrics_spec in eval_config.metrics_specs:
        if CANDIDATE not in metrics_spec.model_names:
            continue
        spec = config_pb2.MetricsSpec()
        spec.CopyFrom(metrics_spec)
        for holder in (spec, *spec.metrics):
            holder.ClearField("per_slice_thresholds")
            holder.ClearField("cross_slice_thresholds")
        yield spec
