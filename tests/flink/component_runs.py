"""Five silos of very unequal size, and each component's real executor run on them by given Beam options."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf import json_format, text_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import standard_artifacts

from tests.tfx_federated.beam_batch_inferrer import inference_case
from tests.tfx_federated.silo_partitioner import partition_run
from tfx_federated import artifacts
from tfx_federated.beam_batch_inferrer import executor as inferrer_executor
from tfx_federated.fairness_evaluator import executor as evaluator_executor
from tfx_federated.silo_key import silo_of_example
from tfx_federated.silo_partitioner import executor as partitioner_executor

SILO_KEY = "company"
SIZES = {"Nord": 240, "Süd AG": 120, "west/1": 80, "small": 20, "single": 1}
ROWS_WITHOUT_SILO = 3
EVAL_CONFIG = """
  model_specs { label_key: "label" }
  metrics_specs { metrics { class_name: "AUC" } metrics { class_name: "BinaryAccuracy" } }
"""


def _rows(seed: int) -> list[bytes]:
    generator = np.random.default_rng(seed)
    silos = [silo for silo, size in SIZES.items() for _ in range(size)] + [None] * ROWS_WITHOUT_SILO
    rows = []
    for silo in generator.permutation(np.array(silos, object)):
        x = float(np.float32(generator.normal()))
        features = {} if silo is None else {SILO_KEY: silo}
        rows.append(partition_run.serialized(x=x, label=int(x + generator.normal() > 0), **features))
    return rows


def make_examples(folder):
    """Returns an Examples artifact of two splits, with three files each."""
    return partition_run.examples_artifact(folder, {"train": _rows(1), "eval": _rows(2)}, files=3)


def silos_of_rows(examples):
    """Returns the silo of every row, by its source and position as the inferrer names them."""
    silos = {}
    for path in sorted(pathlib.Path(examples.uri).glob("Split-*/*")):
        for row, record in enumerate(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()):
            silo = silo_of_example(tf.train.Example.FromString(record), SILO_KEY)
            silos[f"0/{path.relative_to(examples.uri)}", row] = silo
    return silos


def make_model(folder, weight, kind=standard_artifacts.Model):
    """Returns a model with one output: score = sigmoid(weight * x)."""
    inference_case.save_model(str(folder), lambda parsed: {"score": tf.sigmoid(weight * parsed["x"])[:, tf.newaxis]})
    artifact = kind()
    artifact.uri = str(folder)
    return artifact


def partition(folder, options, examples):
    """Runs SiloPartitioner and returns its output."""
    output = _output(artifacts.SiloExamples, folder)
    partitioner_executor.Executor(_context(partitioner_executor.Executor, options, folder)).Do(
        {"examples": [examples]},
        {"silo_examples": [output]},
        {**partition_run.DEFAULTS, "rows_without_silo": "skip", "minimum_rows": 2},
    )
    return output


def evaluate(folder, options, examples, model, silo_models):
    """Runs FairnessEvaluator and returns its outputs by name."""
    outputs = {
        "evaluation": _output(standard_artifacts.ModelEvaluation, folder / "evaluation"),
        "blessing": _output(standard_artifacts.ModelBlessing, folder / "blessing"),
        "report": _output(artifacts.FairnessReport, folder / "report"),
    }
    evaluator_executor.Executor(_context(evaluator_executor.Executor, options, folder)).Do(
        {"examples": [examples], "model": [model], "silo_models": [silo_models]},
        {name: [artifact] for name, artifact in outputs.items()},
        {
            "silo_key": SILO_KEY,
            "metric": "auc",
            "minimum_rows": 50,
            "minimum_overall": 0.6,
            "minimum_worst_silo": 0.6,
            "eval_config": json_format.MessageToJson(text_format.Parse(EVAL_CONFIG, config_pb2.EvalConfig())),
            "example_splits": json.dumps(["eval"]),
        },
    )
    return outputs


def infer(folder, options, examples, model):
    """Runs BeamBatchInferrer and returns its output."""
    output = _output(standard_artifacts.InferenceResult, folder)
    inferrer_executor.Executor(_context(inferrer_executor.Executor, options, folder)).Do(
        {"examples": [examples], "model": [model]},
        {"inference_result": [output]},
        {"silo_key": SILO_KEY, "splits": None, "output_format": "parquet", "batch_size": 64},
    )
    return output


def _context(executor, options, folder):
    return executor.Context(beam_pipeline_args=list(options), tmp_dir=f"{folder}.tmp", unique_id="1")


def _output(kind, folder):
    artifact = kind()
    artifact.uri = str(folder)
    return artifact
