"""One contender on one workload: `python -m benchmarks.inference.contenders NAME WORKLOAD DATA OUTPUT`.

Each writes `work.json`, seconds and rows of the work after the imports, and `predictions.npy`, all predictions sorted:
runners keep no order, and the same rows scored by the same model have the same sorted predictions.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from scipy import special

from benchmarks.inference import columns, workloads

BATCH = 4096
ONE_WORKER = ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"]
TWO_WORKERS = ["--runner=DirectRunner", "--direct_num_workers=2", "--direct_running_mode=multi_processing"]


class Job:
    """What a contender is given.

    Attributes:
        workload: What is scored by which model.
        data: Folder with the rows, `<form>/Split-all`.
        models: Folder with the models.
        output: Empty folder for what it writes.
    """

    def __init__(self, workload: workloads.Workload, data: pathlib.Path, output: pathlib.Path) -> None:
        self.workload = workload
        self.data = data / workload.form
        self.models = data.parent / "models"
        self.output = output

    @property
    def files(self) -> list[str]:
        """The shards, in order."""
        return sorted(str(path) for path in (self.data / f"Split-{workloads.SPLIT}").iterdir())

    @property
    def model_path(self) -> str:
        """Folder of the SavedModel."""
        return f"{self.models}/{self.workload.model}/Format-Serving"

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Writes what is done within as `work.json`."""
        wall = time.perf_counter()
        yield
        seconds = time.perf_counter() - wall
        (self.output / "work.json").write_text(json.dumps({"wall_seconds": seconds}))

    def keep(self, predictions: np.ndarray) -> None:
        """Writes the predictions, sorted."""
        np.save(self.output / "predictions.npy", np.sort(predictions.reshape(-1)))


def ours(job: Job, workers: list[str] = ONE_WORKER) -> None:
    """Runs the component's executor, as TFX calls it."""
    import apache_beam as beam
    from pyarrow import dataset
    from tfx.components.util import examples_utils
    from tfx.proto import example_gen_pb2
    from tfx.types import artifact_utils, standard_artifacts

    from tfx_federated import artifacts
    from tfx_federated.beam_batch_inferrer import executor, settings

    examples, model = standard_artifacts.Examples(), standard_artifacts.Model()
    examples.uri, model.uri = str(job.data), str(job.models / job.workload.model)
    examples.split_names = artifact_utils.encode_split_names([workloads.SPLIT])
    formats = example_gen_pb2.PayloadFormat
    is_parquet = job.workload.form == "parquet"
    examples_utils.set_payload_format(examples, formats.FORMAT_PARQUET if is_parquet else formats.FORMAT_TF_EXAMPLE)
    inputs: dict[str, list[Any]] = {"examples": [examples], "model": [model]}
    if job.workload.has_personal_models:
        silo_models = artifacts.SiloModels()
        silo_models.uri = str(job.models / "personal")
        inputs["silo_models"] = [silo_models]
    result = standard_artifacts.InferenceResult()
    result.uri = str(job.output / "inference_result")
    properties = settings.Settings(silo_key=job.workload.silo_key, layout=job.workload.layout, batch_size=BATCH)
    context = executor.Executor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(argv=workers), tmp_dir=str(job.output / "tmp"), unique_id="1"
    )
    with job.work():
        executor.Executor(context).Do(inputs, {"inference_result": [result]}, properties.to_properties())
    files = [str(path) for path in pathlib.Path(result.uri).rglob("[!_]*.parquet")]
    job.keep(dataset.dataset(files, format="parquet").to_table(["predictions"])["predictions"].to_numpy())


def floor(job: Job) -> None:
    """Reads, parses, scores and writes in one loop of one process, without a pipeline and without silos."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with job.work():
        predictions = []
        signatures = tf.saved_model.load(job.model_path).signatures
        for number, file in enumerate(job.files):
            schema = pa.schema([("row", pa.int64()), ("predictions", pa.float32())])
            with pq.ParquetWriter(job.output / f"{number:05d}.parquet", schema) as writer:
                row = 0
                for inputs in _batches(job, file, signatures):
                    predicted = inputs["predictions"].numpy()[:, 0]
                    predictions.append(predicted)
                    rows = np.arange(row, row + len(predicted))
                    row += len(predicted)
                    writer.write_table(pa.table({"row": rows, "predictions": predicted}, schema))
    job.keep(np.concatenate(predictions))


def _batches(job: Job, file: str, signatures: Any) -> Iterator[dict[str, tf.Tensor]]:
    import pyarrow.parquet as pq

    if job.workload.form != "parquet":
        records = tf.data.TFRecordDataset(file, "GZIP" if job.workload.form == "gz" else "")
        for batch in records.batch(BATCH).prefetch(1):
            yield signatures["serving_default"](examples=batch)
        return
    for batch in pq.ParquetFile(file).iter_batches(workloads.PARQUET_BATCH, columns=list(columns.NUMERIC)):
        named = {name: tf.constant(values.to_numpy()) for name, values in zip(columns.NUMERIC, batch, strict=True)}
        yield signatures["features"](**named)


def model_only(job: Job) -> None:
    """Calls the model on tensors in memory."""
    table = workloads.rows_table(json.loads((job.data.parent / "rows.json").read_text())["rows"])
    tensors = {name: tf.constant(table[name].to_numpy()) for name in columns.NUMERIC}
    model = tf.saved_model.load(str(job.models / "inner" / job.workload.model))
    rows = len(table)
    with job.work():
        predictions = [
            model.predict({name: values[start : start + BATCH] for name, values in tensors.items()}).numpy()
            for start in range(0, rows, BATCH)
        ]
    job.keep(np.concatenate(predictions))


def numpy(job: Job) -> None:
    """Computes the network with a head for each silo in NumPy, from columns in memory."""
    table = workloads.rows_table(json.loads((job.data.parent / "rows.json").read_text())["rows"])
    scaled = np.stack([table[name].to_numpy() / np.float32(scale) for name, scale in columns.SCALES.items()], axis=1)
    silos = table[columns.PERSONAL_SILO_KEY].combine_chunks().indices.to_numpy()
    with np.load(job.models / "inner" / columns.PERSONAL_WEIGHTS) as file:
        *trunk, kernels, biases = file.values()
    with job.work():
        predictions = []
        for start in range(0, len(table), BATCH):
            hidden, silo = scaled[start : start + BATCH], silos[start : start + BATCH]
            for kernel, bias in zip(trunk[::2], trunk[1::2], strict=True):
                hidden = np.maximum(hidden @ kernel + bias, 0)
            predictions.append(special.expit(np.einsum("ri,rio->ro", hidden, kernels[silo]) + biases[silo]))
    job.keep(np.concatenate(predictions))


def bulk_inferrer(job: Job) -> None:
    """Runs the executor of TFX's BulkInferrer."""
    import apache_beam as beam
    from google.protobuf import json_format
    from tensorflow_serving.apis import prediction_log_pb2
    from tfx.components.bulk_inferrer import executor
    from tfx.proto import bulk_inferrer_pb2
    from tfx.types import artifact_utils, standard_artifacts

    examples, model = standard_artifacts.Examples(), standard_artifacts.Model()
    examples.uri, model.uri = str(job.data), str(job.models / job.workload.model)
    examples.split_names = artifact_utils.encode_split_names([workloads.SPLIT])
    result = standard_artifacts.InferenceResult()
    result.uri = str(job.output / "inference_result")
    context = executor.Executor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(argv=ONE_WORKER), tmp_dir=str(job.output / "tmp"), unique_id="1"
    )
    model_spec = bulk_inferrer_pb2.ModelSpec(model_signature_name=["serving_default"])
    with job.work():
        executor.Executor(context).Do(
            {"examples": [examples], "model": [model]},
            {"inference_result": [result]},
            {
                "data_spec": json_format.MessageToJson(bulk_inferrer_pb2.DataSpec()),
                "model_spec": json_format.MessageToJson(model_spec),
            },
        )
    files = [str(path) for path in pathlib.Path(result.uri).rglob("*.gz")]
    predictions = []
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        response = prediction_log_pb2.PredictionLog.FromString(record).predict_log.response
        predictions.append(tf.make_ndarray(response.outputs["predictions"]))
    job.keep(np.concatenate([values.reshape(-1) for values in predictions]))


def beam_run_inference(job: Job) -> None:
    """Runs Beam's RunInference on serialized rows, with the signature as its model, and writes Parquet."""
    import apache_beam as beam
    import pyarrow as pa
    import pyarrow.parquet as pq
    from apache_beam.ml.inference import base

    class Signature(base.ModelHandler):
        def __init__(self, path: str) -> None:
            self._path = path

        def load_model(self) -> Any:
            return tf.saved_model.load(self._path)

        def run_inference(self, batch: Any, model: Any, inference_args: Any = None) -> Any:
            predicted = model.signatures["serving_default"](examples=tf.constant(list(batch)))["predictions"].numpy()
            return [{"predictions": float(value)} for value in predicted[:, 0]]

        def batch_elements_kwargs(self) -> dict[str, int]:
            return {"min_batch_size": BATCH, "max_batch_size": BATCH}

    pattern = f"{job.data}/Split-{workloads.SPLIT}/*"
    schema = pa.schema([("predictions", pa.float32())])
    with job.work(), beam.Pipeline(argv=ONE_WORKER) as pipeline:
        _ = (
            pipeline
            | beam.io.ReadFromTFRecord(pattern)
            | base.RunInference(Signature(job.model_path))
            | beam.io.WriteToParquet(f"{job.output}/part", schema, file_name_suffix=".parquet")
        )
    files = sorted(str(path) for path in job.output.glob("part*.parquet"))
    job.keep(np.concatenate([pq.read_table(file)["predictions"].to_numpy() for file in files]))


CONTENDERS: dict[str, Callable[[Job], None]] = {
    "ours": ours,
    "ours_two_workers": lambda job: ours(job, TWO_WORKERS),
    "floor": floor,
    "model_only": model_only,
    "numpy": numpy,
    "bulk_inferrer": bulk_inferrer,
    "beam_run_inference": beam_run_inference,
}

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _, contender, workload_name, data_folder, output_folder = sys.argv
    destination = pathlib.Path(output_folder)
    destination.mkdir(parents=True, exist_ok=True)
    CONTENDERS[contender](Job(workloads.WORKLOADS[workload_name], pathlib.Path(data_folder), destination))
