"""The Beam components on a cluster do what they do in one process."""

import collections
import os
import re

import pytest
import tensorflow_model_analysis as tfma
from pyarrow import parquet

from tests.flink import component_runs
from tests.flink.conftest import WORKER_PROCESSES
from tests.tfx_federated.beam_batch_inferrer.inference_case import digests
from tests.tfx_federated.silo_partitioner.partition_run import records_of_silos
from tfx_federated import artifacts, beam_options, silo_examples
from tfx_federated.beam_batch_inferrer import inference_results
from tfx_federated.fairness_evaluator import report

pytestmark = pytest.mark.slow

# Floating-point sums over silos are taken in another order.
METRIC_TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("components")


@pytest.fixture(scope="module")
def examples(folder):
    return component_runs.make_examples(folder / "examples")


@pytest.fixture(scope="module")
def model(folder):
    return component_runs.make_model(folder / "model", 2.0)


@pytest.fixture(scope="module")
def silo_models(folder):
    return component_runs.make_model(folder / "silo_models", -1.0, artifacts.SiloModels)


def test_the_partitioner_writes_the_same_shards_index_and_counts(tmp_path, options, examples):
    of_runs = [
        component_runs.partition(tmp_path / name, arguments, examples)
        for name, arguments in (("direct", beam_options.direct()), ("cluster", options))
    ]
    direct, cluster = (silo_examples.SiloExamplesReader(output.uri) for output in of_runs)
    assert cluster.counts == direct.counts
    assert cluster.silos == sorted(set(component_runs.SIZES) - {"single"})
    for split in ("train", "eval"):
        assert cluster.entries(split) == direct.entries(split)
        assert records_of_silos(cluster, split) == records_of_silos(direct, split)
        sizes = {silo: len(records) for silo, records in records_of_silos(cluster, split).items()}
        assert sizes == {silo: size for silo, size in component_runs.SIZES.items() if silo != "single"}
    assert digests(of_runs[1].uri).keys() == digests(of_runs[0].uri).keys()


def test_the_evaluator_measures_and_judges_the_same(tmp_path, options, examples, model, silo_models):
    direct, cluster = (
        component_runs.evaluate(tmp_path / name, arguments, examples, model, silo_models)
        for name, arguments in (("direct", beam_options.direct()), ("cluster", options))
    )
    expected = metrics_of_slices(direct["evaluation"].uri)
    assert len({where for where, _, _ in expected}) == len(component_runs.SIZES) + 1
    assert {"candidate", "local"} == {of_model for _, of_model, _ in expected}
    assert metrics_of_slices(cluster["evaluation"].uri) == pytest.approx(expected, abs=METRIC_TOLERANCE, nan_ok=True)
    of_direct, of_cluster = (report.read(outputs["report"].uri) for outputs in (direct, cluster))
    assert os.listdir(cluster["blessing"].uri) == os.listdir(direct["blessing"].uri) == ["BLESSED"]
    assert verdicts(of_cluster) == verdicts(of_direct)
    assert {silo["name"]: silo["rows"] for silo in of_cluster["silos"]} == component_runs.SIZES
    assert of_cluster["rows_without_silo"] == component_runs.ROWS_WITHOUT_SILO


def metrics_of_slices(uri):
    """Returns {(slice, model, metric): value}."""
    return {
        (str(metrics.slice_key), pair.key.model_name, pair.key.name): pair.value.double_value.value
        for metrics in tfma.load_metrics(uri)
        for pair in metrics.metric_keys_and_values
    }


def verdicts(content):
    return (
        content["blessed"],
        [(rule["name"], rule["passed"]) for rule in content["rules"]],
        content["worst_silo"]["name"],
    )


def test_the_inferrer_scores_every_row_into_the_partition_of_its_silo(tmp_path, options, examples, model):
    direct, cluster = (
        component_runs.infer(tmp_path / name, arguments, examples, model).uri
        for name, arguments in (("direct", beam_options.direct()), ("cluster", options))
    )
    manifest = inference_results.read_manifest(cluster)
    assert manifest == inference_results.read_manifest(direct)
    assert {entry["silo"] for entry in manifest["silos"]} == {*component_runs.SIZES, None}
    silo_of_row = component_runs.silos_of_rows(examples)
    for entry in manifest["silos"]:
        assert inference_results.read_silo(cluster, entry["silo"]).equals(
            inference_results.read_silo(direct, entry["silo"])
        )
        for place in inference_results.silo_rows(cluster, entry["silo"]):
            table = parquet.read_table(place.uri, partitioning=None)
            rows = zip(table["source"].to_pylist(), table["row"].to_pylist(), strict=True)
            assert {silo_of_row[row] for row in rows} == {entry["silo"]}
    assert digests(cluster).keys() == digests(direct).keys()


def test_several_worker_processes_share_the_work_of_each_component(server):
    started = re.findall(r"--id=(\d+)-\d+", server.pool_log.read_text())
    assert started
    assert set(collections.Counter(started).values()) == {WORKER_PROCESSES}
