"""One contender on one workload: `python -m benchmarks.fairness.contenders NAME WORKLOAD_FOLDER OUTPUT_FOLDER`."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterator

import numpy as np

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"


@contextlib.contextmanager
def _work(output: pathlib.Path) -> Iterator[None]:
    """Writes what is done within as `work.json`: wall and processor seconds of this process, all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    seconds = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    (output / "work.json").write_text(json.dumps(seconds))


def ours(data: pathlib.Path, output: pathlib.Path) -> None:
    """Runs the FairnessEvaluator's executor: census, evaluation, intervals, rules, report and blessing."""
    import apache_beam as beam
    from google.protobuf import json_format
    from tfx.types import artifact_utils, standard_artifacts

    from benchmarks.fairness import workloads
    from tfx_federated import artifacts
    from tfx_federated.fairness_evaluator import executor, rules

    examples, model = standard_artifacts.Examples(), standard_artifacts.Model()
    examples.uri, model.uri = str(data), str(data / "model")
    examples.split_names = artifact_utils.encode_split_names(["eval"])
    outputs = {
        "evaluation": standard_artifacts.ModelEvaluation(),
        "blessing": standard_artifacts.ModelBlessing(),
        "report": artifacts.FairnessReport(),
    }
    for name, artifact in outputs.items():
        artifact.uri = str(output / name)
    context = executor.Executor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(argv=[RUNNER]), tmp_dir=str(output / "tmp"), unique_id="1"
    )
    with _work(output):
        executor.Executor(context).Do(
            {"examples": [examples], "model": [model]},
            {name: [artifact] for name, artifact in outputs.items()},
            {
                "silo_key": "silo",
                "eval_config": json_format.MessageToJson(workloads.eval_config()),
                "example_splits": json.dumps(["eval"]),
                "metric": "auc",
                "rules": rules.encode([rules.Overall(0.6), rules.WorstSilo(0.5)]),
                "minimum_rows": 50,
                "minimum_class_rows": 10,
                "privacy_minimum": None,
                "confidence": 0.95,
            },
        )


def tfma(data: pathlib.Path, output: pathlib.Path, intervals: bool = False) -> None:
    """Runs TFMA's default extractors, evaluators and writers with a slice per silo."""
    import apache_beam as beam
    import tensorflow_model_analysis as tfma_lib
    from tensorflow_model_analysis.proto import config_pb2
    from tfx_bsl.tfxio import tf_example_record

    from benchmarks.fairness import workloads

    config = workloads.eval_config()
    config.model_specs[0].signature_name = "serving_default"
    config.slicing_specs.extend([config_pb2.SlicingSpec(), config_pb2.SlicingSpec(feature_keys=["silo"])])
    config.options.compute_confidence_intervals.value = intervals
    model = tfma_lib.default_eval_shared_model(str(data / "model" / "Format-Serving"), eval_config=config)
    source = tf_example_record.TFExampleRecord(
        [f"{data}/Split-eval/*"], raw_record_column_name=tfma_lib.ARROW_INPUT_COLUMN
    )
    with _work(output), beam.Pipeline(argv=[RUNNER]) as pipeline:
        _ = (
            pipeline
            | source.BeamSource()
            | tfma_lib.ExtractEvaluateAndWriteResults(
                eval_config=config, eval_shared_model=model, output_path=str(output / "evaluation")
            )
        )


def floor(data: pathlib.Path, output: pathlib.Path) -> None:
    """Computes the same numbers of every silo by NumPy, from scores in memory."""
    rows = np.load(data / "rows.npz")
    silo, score, label = rows["silo"], rows["score"], rows["label"].astype(float)
    with _work(output):
        count = np.bincount(silo)
        silos = len(count)
        above = score > 0.5
        true = np.bincount(silo, (above == (label > 0)), silos)
        positives = np.bincount(silo, label, silos)
        calibration = np.bincount(silo, score, silos) / np.maximum(positives, 1)
        hits = np.bincount(silo[above], label[above], silos)
        rates = np.stack([hits, positives - hits, np.bincount(silo, above, silos) - hits])
        order = np.lexsort((score, silo))
        before = np.cumsum(1 - label[order])
        start = np.concatenate([[0.0], np.cumsum(np.bincount(silo, 1 - label, silos))])[:-1]
        pairs = np.bincount(silo[order], label[order] * (before - start[silo[order]]), silos)
        area = pairs / np.maximum(positives * (count - positives), 1)
    checksum = float(area.sum() + calibration.sum() + true.sum() + rates.sum())
    (output / "floor.json").write_text(json.dumps({"checksum": checksum}))


CONTENDERS = {
    "ours": ours,
    "tfma": tfma,
    "tfma_intervals": lambda data, output: tfma(data, output, intervals=True),
    "floor": floor,
}

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _, contender, data_folder, output_folder = sys.argv
    pathlib.Path(output_folder).mkdir(parents=True, exist_ok=True)
    CONTENDERS[contender](pathlib.Path(data_folder), pathlib.Path(output_folder))
