"""What TFMA's own evaluator found for every silo, for metrics that are not read from cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2

from tfx_federated.fairness_evaluator import evaluation_config, silo_table
from tfx_federated.statistics import arrays, bootstrap, dispersion, intervals, paired
from tfx_federated.statistics import evidence as evidence_lib

# Of classes whose means are of errors.
_LOWER_IS_BETTER = ("Error", "CrossEntropy", "Crossentropy", "loss", "Loss")

_Value = tuple[float, float, float]


def read(
    evaluation_uri: str,
    eval_config: config_pb2.EvalConfig,
    silo_key: str,
    metric: str,
    names: tuple[str, ...],
    pooled: int,
    minimums: evidence_lib.Minimums,
    confidence: float,
) -> silo_table.SiloTable:
    """Reads the table from the files that TFMA wrote.

    Bounds are TFMA's own, where the configuration asks for them. Without them nothing is known of a silo's error, so
    that gains and statistics over silos have no bounds either.

    Args:
        evaluation_uri: Folder of the evaluation.
        eval_config: The completed configuration of that evaluation.
        silo_key: Feature that holds the silo.
        metric: Name of the metric.
        names: Published silos.
        pooled: Number of silos in the pool.
        minimums: What a claim about a silo needs.
        confidence: Of TFMA's intervals.

    Raises:
        ValueError: The metric is not a number, or was computed both weighted and unweighted.
    """
    slices = {
        silo: _values(metrics.metric_keys_and_values, metric)
        for metrics in tfma.load_metrics(evaluation_uri)
        if (silo := _silo_of_slice(metrics.slice_key, silo_key)) is not None
    }
    candidate = evaluation_config.candidate_name(eval_config)
    rows = np.array([slices[name][candidate, "example_count"][0] for name in names])
    bounds = np.array([slices[name].get((candidate, metric), _UNDEFINED) for name in names])
    values = {
        _public_name(spec.name, candidate): _known(slices, names, spec.name, metric, rows)
        for spec in eval_config.model_specs
    }
    own = intervals.of_bounds(bounds[:, 0], bounds[:, 1], bounds[:, 2], confidence)
    codes = evidence_lib.of_rows(rows, minimums)
    codes[~np.isfinite(bounds[:, 0])] = evidence_lib.Evidence.UNDEFINED
    lower, upper = (np.where(codes == evidence_lib.Evidence.ENOUGH, part, np.nan) for part in (own.lower, own.upper))
    scale = dispersion.Scale(-math.inf, math.inf, not _is_error(eval_config, metric))
    overall = slices[""]
    sign = 1 if scale.higher_is_better else -1
    return silo_table.SiloTable(
        metric=metric,
        scale=scale,
        names=names,
        pooled=pooled,
        rows=rows.astype(np.int64),
        positives=None,
        values=values,
        intervals=intervals.Intervals(bounds[:, 0], lower, upper, codes, confidence),
        gains={
            model: paired.of_standard_errors(sign * (values[silo_table.CANDIDATE] - value), np.full(len(names), np.nan))
            for model, value in values.items()
            if model != silo_table.CANDIDATE
        },
        overall=silo_table.Overall(
            rows=int(overall[candidate, "example_count"][0]),
            positives=None,
            values={
                _public_name(spec.name, candidate): overall.get((spec.name or candidate, metric), _UNDEFINED)[0]
                for spec in eval_config.model_specs
            },
            lower=overall[candidate, metric][1],
            upper=overall[candidate, metric][2],
        ),
        across_silos=_across_silos(bounds[:, 0], rows, codes, scale, overall[candidate, metric][0]),
        worst=None,
    )


_UNDEFINED: _Value = (math.nan, math.nan, math.nan)


def _public_name(model: str, candidate: str) -> str:
    return silo_table.CANDIDATE if model == candidate else model


def _known(
    slices: Mapping[str, Mapping[tuple[str, str], _Value]],
    names: tuple[str, ...],
    model: str,
    metric: str,
    rows: arrays.Vector,
) -> arrays.Vector:
    """Returns a model's metric by silo; a model that does not know all rows of a silo has none there."""
    counts = np.array([slices[name].get((model, "example_count"), _UNDEFINED)[0] for name in names])
    values = np.array([slices[name].get((model, metric), _UNDEFINED)[0] for name in names])
    return np.where(counts == rows, values, np.nan)


def _across_silos(
    values: arrays.Vector, rows: arrays.Vector, codes: evidence_lib.Codes, scale: dispersion.Scale, overall: float
) -> dict[str, bootstrap.Estimate]:
    claimed = codes == evidence_lib.Evidence.ENOUGH
    if not claimed.any():
        return {}
    summary = dispersion.summary(values[claimed], rows[claimed], scale, overall)
    return {name: bootstrap.Estimate(float(value), *[math.nan] * 3) for name, value in summary.items()}


def _is_error(eval_config: config_pb2.EvalConfig, metric: str) -> bool:
    classes = evaluation_config.classes_of(eval_config, metric)
    return any(name.endswith(_LOWER_IS_BETTER) for name in classes)


def _silo_of_slice(key: metrics_for_slice_pb2.SliceKey, silo_key: str) -> str | None:
    parts = key.single_slice_keys
    if not parts:
        return ""
    if len(parts) > 1 or parts[0].column != silo_key:
        return None
    value = getattr(parts[0], parts[0].WhichOneof("kind"))
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _values(pairs: Iterable[metrics_for_slice_pb2.MetricKeyAndValue], metric: str) -> dict[tuple[str, str], _Value]:
    values: dict[tuple[str, str], _Value] = {}
    for pair in pairs:
        key = pair.key
        counted = key.name == "example_count"
        if key.is_diff or key.HasField("sub_key") or not (counted or key.name == metric):
            continue
        if counted and key.name != metric and key.example_weighted.value:
            continue
        if (key.model_name, key.name) in values:
            raise ValueError(
                f"metric {metric!r} is computed several times (weighted and unweighted, or for several outputs); keep "
                "one in eval_config's metrics_specs"
            )
        interval = pair.confidence_interval
        values[key.model_name, key.name] = (
            _number(pair.value, key.name),
            _number(interval.lower_bound, key.name) if pair.HasField("confidence_interval") else math.nan,
            _number(interval.upper_bound, key.name) if pair.HasField("confidence_interval") else math.nan,
        )
    return values


def _number(value: metrics_for_slice_pb2.MetricValue, name: str) -> float:
    kind = value.WhichOneof("type")
    if kind != "double_value":
        raise ValueError(f"metric {name!r} is not one number but a {kind}; name a metric that is one number")
    return value.double_value.value
