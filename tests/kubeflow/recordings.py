"""Writes `executor_inputs`: what the driver tells the steps of the flights pipeline, in each release.

```
PYTHONPATH=components python -m tests.kubeflow.recordings
```
"""

import json
import pathlib
import tempfile

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from pipelines.flights import kubeflow_runner

from tests.kubeflow import driver as driver_lib
from tfx_federated.kubeflow import compiler

FOLDER = pathlib.Path(__file__).with_name("executor_inputs")
ROOT = "minio://mlpipeline/v2/artifacts/flights/5f0a3c1e-52d5-4b0f-9a55-2f1c6f1f9a10"
SALT = "c2f5b8d4-0d3e-4a86-8a1b-7a4d2a1a6f01"
VERSION = {"tfx_version": "1.21.0"}

# What the executors answered in runs of the pipeline.
ANSWERS = {
    "CsvExampleGen": {
        "examples": {
            "split_names": '["train", "eval"]',
            "file_format": "tfrecords_gzip",
            "payload_format": "FORMAT_TF_EXAMPLE",
            **VERSION,
        }
    },
    "StatisticsGen": {
        "statistics": {
            "span": 0,
            "split_names": '["train", "eval"]',
            "stats_dashboard_link": "",
            "sample_rate_by_split": '{"eval": 1.0, "train": 1.0}',
            **VERSION,
        }
    },
    "SchemaGen": {"schema": VERSION},
    "Transform": {
        "transform_graph": VERSION,
        "transformed_examples": {
            "split_names": '["eval", "train"]',
            "file_format": "tfrecords_gzip",
            "payload_format": "FORMAT_TF_EXAMPLE",
            **VERSION,
        },
    },
    "SiloPartitioner": {
        "silo_examples": {"silo_key": "carrier", "silos": 16, "splits": '["train", "eval"]', **VERSION}
    },
    "FederatedTrainer": {"model": VERSION, "silo_models": {"silos": 16, **VERSION}},
}
# One value of each kind that an executor can answer with; no TFX component has them all.
EVERY_KIND = {
    "text": "two words",
    "whole": 7,
    "half": 0.5,
    "true": True,
    "list": ["a", 1, {"b": [2]}],
    "dictionary": {"train": 1, "nested": {"eval": [0.5]}},
    "own_uri": f"{ROOT}/CsvExampleGen/examples/Split-train",
    "foreign_uri": "minio://mlpipeline/elsewhere/model",
}
RECORDED = (
    "CsvExampleGen",
    "StatisticsGen",
    "SiloPartitioner",
    "FederatedTrainer",
    "FairnessEvaluator",
    "BeamBatchInferrer",
    "Pusher",
)


def specification():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "flights.yaml")
        pipeline = kubeflow_runner.create_kubeflow_pipeline()
        compiler.compile_pipeline(pipeline, file, images="registry.example/tfx-federated:0.1.0")
        return next(iter(yaml.safe_load_all(file.read_text())))


def record(release, compiled, answers):
    """Returns the executor input of each recorded task."""
    driver = driver_lib.Driver(compiled, driver_lib.MetadataStore(driver_lib.RELEASES[release]), ROOT, salt=SALT)
    messages = {}
    for name, answer in answers.items():
        messages[name] = driver.executor_input(name)
        driver.publish(name, messages[name]["outputs"], answer)
    model = driver.artifacts["FederatedTrainer", "model"]
    messages["FairnessEvaluator"] = driver.executor_input("FairnessEvaluator")
    blessing = {"blessed": 1, "current_model": model["uri"], "current_model_id": model["name"], **VERSION}
    driver.publish("FairnessEvaluator", messages["FairnessEvaluator"]["outputs"], {"blessing": blessing})
    return messages | {name: driver.executor_input(name) for name in ("BeamBatchInferrer", "Pusher")}


def of_release(release, compiled):
    """Returns what is recorded of a release, by name."""
    messages = record(release, compiled, ANSWERS)
    kinds = record(release, compiled, {**ANSWERS, "CsvExampleGen": {"examples": EVERY_KIND}})
    chosen = {name: messages[name] for name in RECORDED} | {"every_kind_of_metadata": kinds["StatisticsGen"]}
    return {name: _as_kfp_prints_it(message) for name, message in chosen.items()}


def _as_kfp_prints_it(message):
    return json_format.MessageToDict(json_format.ParseDict(message, pipeline_spec_pb2.ExecutorInput()))


def main():
    compiled = specification()
    for release in driver_lib.RELEASES:
        for name, message in of_release(release, compiled).items():
            file = FOLDER / release / f"{name}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(message, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
