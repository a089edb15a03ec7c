import json

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

from benchmarks.fairness import contenders, workloads


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    workloads.write(workloads.Workload(rows=1000, silos=4), folder)
    return folder


def test_the_model_gives_the_scores_that_the_floor_reads(data):
    rows = np.load(data / "rows.npz")
    model = tf.saved_model.load(f"{data}/model/Format-Serving")
    for shard in range(workloads.SHARDS):
        files = tf.io.gfile.glob(f"{data}/Split-eval/data-{shard:05d}-*")
        examples = list(tf.data.TFRecordDataset(files, "GZIP"))

        predictions = model.signatures["serving_default"](tf.stack(examples))["prediction"]

        np.testing.assert_allclose(predictions[:, 0], rows["score"][shard :: workloads.SHARDS], atol=1e-6)


def test_the_floor_computes_each_silos_metrics(data, tmp_path):
    rows = np.load(data / "rows.npz")
    expected = 0.0
    for silo in range(4):
        label, score = rows["label"][rows["silo"] == silo], rows["score"][rows["silo"] == silo]
        area = metrics.roc_auc_score(label, score)
        calibration = score.sum() / label.sum()
        right = np.sum((score > 0.5) == label)
        hits, misses, false_alarms = (
            np.sum(label[score > 0.5]),
            np.sum(label[score <= 0.5]),
            np.sum(1 - label[score > 0.5]),
        )
        expected += area + calibration + right + hits + misses + false_alarms

    contenders.floor(data, tmp_path)

    assert json.loads((tmp_path / "floor.json").read_text())["checksum"] == pytest.approx(expected)
    assert json.loads((tmp_path / "work.json").read_text())["cpu_seconds"] >= 0
