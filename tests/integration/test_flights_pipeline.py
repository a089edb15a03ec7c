"""The flights pipeline on a few airlines, run by LocalDagRunner and checked against independent computations."""

import json
import pathlib
import subprocess

import ml_metadata
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from pipelines.flights import data, flights_module, local_runner, pipeline

from tests.integration.flights_run import ROUNDS
from tests.processes import worker_processes
from tff_runtime import silo_data
from tfx_federated import tff_process
from tfx_federated.beam_batch_inferrer import inference_results

SEED = 0


def parsed(records, name, kind):
    return np.array([getattr(tf.train.Example.FromString(r).features.feature[name], kind).value for r in records])


def silo_rows(reader):
    for entry in reader.entries("train"):
        records = list(reader.read(entry))
        inputs = parsed(records, flights_module.INPUTS, "float_list")
        yield entry.silo, inputs, parsed(records, data.LABEL_KEY, "int64_list")


def initial_weights(reader, folder):
    """Asks the TFF interpreter for the weights that Keras 2.14 draws under the seed: the only thing not recomputed."""
    script = """
import json, pathlib, sys
import tensorflow as tf
from tff_runtime import model
sys.path.insert(0, sys.argv[1])
import flights_module
arguments = model.ModelArguments({"inputs": model.FeatureSpec("float32", (int(sys.argv[2]),))}, "delayed", {})
tf.keras.utils.set_random_seed(int(sys.argv[3]))
weights = flights_module.model_fn(arguments).keras_model.trainable_variables
pathlib.Path(sys.argv[4]).write_text(json.dumps([value.numpy().tolist() for value in weights]))
"""
    width = next(silo_rows(reader))[1].shape[1]
    file = folder / "weights.json"
    subprocess.run(
        [
            tff_process.find_tff_python(),
            *("-c", script, str(local_runner.MODULE_FILE.parent), str(width), str(SEED), str(file)),
        ],
        env={"PYTHONPATH": str(pathlib.Path(silo_data.__file__).parents[1])},
        check=True,
    )
    return [np.array(value) for value in json.loads(file.read_text())]


def train_silo(weights, silo, inputs, label, round_number):
    w1, b1, w2, b2 = (value.copy() for value in weights)
    for rows in silo_data.batch_indices(len(inputs), pipeline.BATCH_SIZE, SEED, round_number, 0, silo):
        x, y = inputs[rows], label[rows]
        before = x @ w1 + b1
        hidden = np.maximum(before, 0)
        output_gradient = (1 / (1 + np.exp(-(hidden @ w2 + b2))) - y) / len(rows)
        hidden_gradient = output_gradient @ w2.T * (before > 0)
        rate = pipeline.CLIENT_LEARNING_RATE
        w2 -= rate * hidden.T @ output_gradient
        b2 -= rate * output_gradient.sum(axis=0)
        w1 -= rate * x.T @ hidden_gradient
        b1 -= rate * hidden_gradient.sum(axis=0)
    return [w1, b1, w2, b2]


def test_the_federated_weights_equal_numpy_federated_averaging(run, tmp_path):
    weights = initial_weights(run.reader, tmp_path)
    silos = list(silo_rows(run.reader))
    for round_number in range(1, ROUNDS + 1):
        trained = [train_silo(weights, *silo, round_number) for silo in silos]
        counts = [len(inputs) for _, inputs, _ in silos]
        weights = [np.average(values, axis=0, weights=counts) for values in zip(*trained, strict=True)]
    actual = [variable.numpy() for variable in run.model._inner.model_variables]
    for value, expected in zip(actual, weights, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)


def test_the_auc_of_every_silo_equals_scikit_learns(run):
    records = run.raw_eval_rows()
    predictions, label = run.eval_scores(), run.eval_labels()
    carrier = parsed(records, data.SILO_KEY, "bytes_list")[:, 0].astype(str)
    assert run.report["overall"]["value"] == pytest.approx(sklearn.metrics.roc_auc_score(label, predictions), abs=1e-3)
    defined = {silo["name"]: silo for silo in run.report["silos"] if silo["value"] is not None}
    assert len(defined) >= 4
    for name, silo in defined.items():
        own = carrier == name
        assert silo["rows"] == own.sum()
        expected = sklearn.metrics.roc_auc_score(label[own], predictions[own])
        assert silo["value"] == pytest.approx(expected, abs=1e-3)


def test_the_contribution_report_measures_the_models_as_tfma_does(run):
    """From the transformed rows by silo and the weights alone, where TFMA takes the raw rows and the served models."""
    judged = {silo["name"]: silo for silo in run.report["silos"] if silo["value"] is not None}
    measured = {silo["name"]: silo["values"] for silo in run.contributions["silos"]}
    for name, silo in judged.items():
        # TFMA interpolates the curve between 10,000 thresholds.
        assert measured[name]["federated"] == pytest.approx(silo["value"], abs=1e-3)
        assert measured[name]["local"] == pytest.approx(silo["models"]["local_models"], abs=1e-3)


def test_contributions_sum_to_what_the_training_gained(run):
    contribution = run.contributions["contribution"]
    values = [silo["contribution"]["value"] for silo in run.contributions["silos"]]
    assert sum(values) == pytest.approx(contribution["gained"] - contribution["efficiency_gap"], abs=1e-9)
    assert contribution["gained"] > 0


def test_no_zero_of_the_data_is_lost_on_the_way(run):
    """TFX 1.21's Parquet reader turns zeros into missing values; the labels here are mostly zeros."""
    label = parsed(run.raw_eval_rows(), data.LABEL_KEY, "int64_list")
    assert label.shape == (len(run.eval_flights), 1)
    assert label.sum() == run.eval_flights[data.LABEL_KEY].sum()


def test_predictions_per_silo_add_up_to_the_rows_in(run):
    manifest = inference_results.read_manifest(run.uris["InferenceResult"])
    expected = run.eval_flights["carrier"].value_counts().to_dict()
    assert {silo["silo"]: silo["rows"] for silo in manifest["silos"]} == expected


def test_the_blessed_model_is_pushed(run):
    assert run.report["blessed"]
    (version,) = run.serving.iterdir()
    assert (version / "saved_model.pb").exists()


def executions(metadata_file):
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(metadata_file)
    store = ml_metadata.MetadataStore(config)
    return {execution.type: execution.last_known_state for execution in store.get_executions()}


def test_every_execution_is_complete_and_no_worker_is_left(run):
    states = executions(run.metadata_file)
    assert len(states) == 11
    assert set(states.values()) == {metadata_store_pb2.Execution.COMPLETE}
    assert worker_processes() == []
