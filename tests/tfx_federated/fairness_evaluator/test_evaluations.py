"""Evaluation by cells against TFMA's own evaluator, row by row, on the same rows."""

import math

import apache_beam as beam
import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from tests.tfx_federated.fairness_evaluator.conftest import (
    RUNNER,
    example,
    examples_artifact,
    model_artifact,
    save_model,
    weighted,
)
from tfx_federated import artifacts, example_shards
from tfx_federated.fairness_evaluator import compared_models, evaluation_config, evaluations, published_silos
from tfx_federated.statistics import evidence

CONFIG = """
  model_specs { label_key: "label" example_weight_key: "weight" }
  slicing_specs { feature_keys: "group" }
  slicing_specs { feature_keys: ["group", "silo"] }
  slicing_specs { feature_keys: "silo" feature_values { key: "group" value: "north" } }
  slicing_specs { feature_keys: "year" }
  metrics_specs {
    example_weights { unweighted: true weighted: true }
    metrics { class_name: "AUC" config: '"num_thresholds": 200' }
    metrics { class_name: "AUCPrecisionRecall" config: '"name": "auc_pr", "num_thresholds": 200' }
    metrics { class_name: "BinaryAccuracy" threshold { value_threshold { lower_bound { value: 0.3 } } } }
    metrics {
      class_name: "Recall" config: '"thresholds": 0.4'
      per_slice_thresholds {
        slicing_specs { feature_keys: "silo" }
        threshold { value_threshold { lower_bound { value: 0.55 } } }
      }
    }
    metrics {
      class_name: "FPR"
      threshold { change_threshold { absolute { value: 0.1 } direction: LOWER_IS_BETTER } }
    }
    metrics { class_name: "F1Score" }
    metrics { class_name: "RecallAtPrecision" config: '"precision": 0.6' }
    metrics { class_name: "ConfusionMatrixAtThresholds" config: '"thresholds": [0.2, 0.5]' }
    metrics { class_name: "Calibration" }
    metrics { class_name: "MeanPrediction" }
    metrics { class_name: "ExampleCount" config: '"name": "count_of_rows"' }
    metrics { class_name: "BinaryCrossEntropy" }
    metrics { class_name: "MeanSquaredError" }
  }
  metrics_specs {
    metrics {
      class_name: "FairnessIndicators"
      module: "fairness_indicators.fairness_indicators_metrics"
      config: '"thresholds": [0.3, 0.5]'
    }
  }
"""
SILOS = {"a": 90, 'b "\n<i>': 60, "ü": 25, "small": 3}


@pytest.fixture(scope="module")
def request_of(tmp_path_factory):
    """Returns a function that makes the request of a fresh output folder."""
    folder = tmp_path_factory.mktemp("evaluations")
    generator = np.random.default_rng(3)
    rows = []
    for silo, size in SILOS.items():
        for x in generator.normal(size=size):
            label = int(generator.random() < 1 / (1 + math.exp(-x)))
            groups = [["north"], ["south"], ["north", "south"], []][generator.integers(4)]
            year = int(generator.integers(2012, 2014))
            weight = float(generator.integers(1, 4))
            rows.append(example(x=float(x), label=label, silo=silo, group=groups, year=year, weight=weight))
    rows.append(example(x=0.3, label=1, group=["south"], weight=1.0))
    examples = examples_artifact(f"{folder}/examples", rows)
    for name, weight in (("model", 1.0), ("baseline_model", -0.5), ("local_models", 2.0)):
        save_model(f"{folder}/{name}", weighted(weight))
    inputs = {
        "model": [model_artifact(f"{folder}/model")],
        "baseline_model": [model_artifact(f"{folder}/baseline_model")],
        "local_models": [model_artifact(f"{folder}/local_models", kind=artifacts.SiloModels)],
    }

    def make(name, config=CONFIG, metric="recall"):
        eval_config = evaluation_config.complete(
            text_format.Parse(config, config_pb2.EvalConfig()), "silo", True, ["local_models"]
        )
        for part in (name, f"{name}/scratch"):
            (folder / part).mkdir()
        return evaluations.Request(
            shards=example_shards.find_shards([examples], ["eval"]),
            silo_key="silo",
            eval_config=eval_config,
            models=compared_models.load(eval_config, inputs),
            silos=published_silos.publish(dict(sorted(SILOS.items())), False, None),
            metric=metric,
            minimums=evidence.Minimums(20, 5, 5),
            privacy_minimum=None,
            confidence=0.95,
            output_uri=f"{folder}/{name}",
            scratch=f"{folder}/{name}/scratch",
        )

    return make


def pipeline():
    return beam.Pipeline(argv=[RUNNER])


def numbers(value):
    if value.HasField("confusion_matrix_at_thresholds"):
        matrices = value.confusion_matrix_at_thresholds.matrices
        return [number for matrix in matrices for _, number in matrix.ListFields()]
    return [value.double_value.value]


def metrics_by_slice(uri):
    return {
        metrics.slice_key.SerializeToString(): {
            (pair.key.SerializeToString(deterministic=True), number): value
            for pair in metrics.metric_keys_and_values
            for number, value in enumerate(numbers(pair.value))
        }
        for metrics in tfma.load_metrics(uri)
    }


@pytest.fixture(scope="module")
def evaluated(request_of):
    config = CONFIG.replace("example_weights { unweighted: true weighted: true }", "")
    own, plain = request_of("own", config), request_of("plain", config)
    return own, evaluations.run(own, pipeline), plain, evaluations._by_tfma(plain, pipeline)


def test_every_metric_of_every_slice_and_model_is_that_of_tfma(evaluated):
    own, _, plain, _ = evaluated
    ours, theirs = metrics_by_slice(own.output_uri), metrics_by_slice(plain.output_uri)
    assert set(ours) == set(theirs)
    for slice_key, metrics in theirs.items():
        assert set(ours[slice_key]) == set(metrics)
        for key, value in metrics.items():
            assert ours[slice_key][key] == pytest.approx(value, abs=1e-6, nan_ok=True), (slice_key, key)


def test_the_verdict_on_thresholds_is_that_of_tfma(evaluated):
    own, _, plain, _ = evaluated
    ours, theirs = (tfma.load_validation_result(request.output_uri) for request in (own, plain))

    def failures(validation):
        return sorted(
            (per_slice.slice_key.SerializeToString(), failure.SerializeToString(deterministic=True))
            for per_slice in validation.metric_validations_per_slice
            for failure in per_slice.failures
        )

    def checked(validation):
        return sorted(
            (details.slicing_spec.SerializeToString(deterministic=True), details.num_matching_slices)
            for details in validation.validation_details.slicing_details
        )

    assert ours.validation_ok == theirs.validation_ok
    assert failures(theirs) == failures(ours)
    assert checked(ours) == checked(theirs)
