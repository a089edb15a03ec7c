"""The evaluated rows and the model: the same files for every contender."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

SHARDS = 4
_FEATURES = 5
_CONFIG = """
  model_specs { label_key: "label" }
  metrics_specs {
    metrics { class_name: "AUC" config: '"num_thresholds": 200' }
    metrics { class_name: "BinaryAccuracy" }
    metrics { class_name: "Calibration" }
    metrics { class_name: "ExampleCount" }
    metrics {
      class_name: "FairnessIndicators"
      module: "fairness_indicators.fairness_indicators_metrics"
      config: '"thresholds": [0.5]'
    }
  }
"""


@dataclasses.dataclass(frozen=True)
class Workload:
    """Rows over silos whose sizes are log-normal.

    Attributes:
        rows: Number of rows.
        silos: Number of silos that rows are drawn for; of very many, some get no row.
    """

    rows: int
    silos: int


WORKLOADS = {
    "silos_10": Workload(200_000, 10),
    "silos_1000": Workload(200_000, 1_000),
    "silos_10000": Workload(200_000, 10_000),
    "silos_100000": Workload(200_000, 100_000),
}


class _Model(tf.Module):
    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self._weights = tf.constant(weights, tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([_FEATURES], tf.float32)})
        return {"prediction": tf.sigmoid(tf.linalg.matvec(parsed["x"], self._weights))[:, tf.newaxis]}


def eval_config() -> config_pb2.EvalConfig:
    """Returns what every contender is asked."""
    return text_format.Parse(_CONFIG, config_pb2.EvalConfig())


def write(workload: Workload, folder: pathlib.Path) -> None:
    """Writes `Split-eval/` (gzip TFRecords), `model/Format-Serving` and `rows.npz`, unless they are there."""
    if (folder / "rows.npz").exists():
        return
    generator = np.random.default_rng(workload.silos)
    sizes = generator.lognormal(0.0, 1.5, workload.silos)
    silo = generator.choice(workload.silos, workload.rows, p=sizes / sizes.sum())
    x = generator.normal(size=(workload.rows, _FEATURES)).astype(np.float32)
    weights = np.linspace(1, -1, _FEATURES).astype(np.float32)
    shift = generator.normal(0.0, 0.5, workload.silos)
    score = 1 / (1 + np.exp(-(x @ weights)))
    label = (generator.random(workload.rows) < 1 / (1 + np.exp(-(x @ weights + shift[silo])))).astype(np.int64)
    (folder / "Split-eval").mkdir(parents=True, exist_ok=True)
    for shard in range(SHARDS):
        name = f"{folder}/Split-eval/data-{shard:05d}-of-{SHARDS:05d}.gz"
        with tf.io.TFRecordWriter(name, "GZIP") as writer:
            for row in range(shard, workload.rows, SHARDS):
                writer.write(_example(x[row], int(label[row]), f"silo {silo[row]}").SerializeToString())
    model = _Model(weights)
    tf.saved_model.save(model, f"{folder}/model/Format-Serving", signatures={"serving_default": model.serve})
    np.savez(folder / "rows.npz", silo=silo, score=score, label=label)


def _example(x: np.ndarray, label: int, silo: str) -> tf.train.Example:
    row = tf.train.Example()
    row.features.feature["x"].float_list.value.extend(x.tolist())
    row.features.feature["label"].int64_list.value.append(label)
    row.features.feature["silo"].bytes_list.value.append(silo.encode())
    return row
