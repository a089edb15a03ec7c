import json
import os
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx.dsl.components.base import base_executor
from tfx.types import standard_artifacts

from tests.tfx_federated.contribution_evaluator import small_evaluation, small_run
from tests.tfx_federated.federated_trainer import training_case
from tff_runtime.settings import encoding
from tfx_federated import artifacts
from tfx_federated.contribution_evaluator import (
    evaluation,
    executor,
    federated_run,
    held_out_rows,
    methods,
    own_models,
    rules,
    utilities,
)


def record(silo, x, y):
    feature = {
        "company": tf.train.Feature(bytes_list=tf.train.BytesList(value=[silo.encode()])),
        "x": training_case.float_feature(*x),
        "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(y)])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture(scope="module")
def silo_examples(tmp_path_factory):
    rows = small_evaluation.held_out()
    names = [rows.silos[place] for place in rows.silo_of_row]
    records = [record(*row) for row in zip(names, rows.features["x"], rows.labels, strict=True)]
    return training_case.silo_examples_artifact(tmp_path_factory.mktemp("rows"), {"eval": records, "train": records})


@pytest.fixture(scope="module")
def local_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    own = small_evaluation.local_models()
    np.savez(folder / "weights.npz", own.weights[:, :-1], own.weights[:, -1:])
    (folder / "silos.json").write_text(json.dumps(list(own.place_of_silo)))
    artifact = artifacts.SiloModels()
    artifact.uri = str(folder)
    return artifact


def properties(**changes):
    asked = {
        "split": "eval",
        "utility": json.dumps(encoding.encode(utilities.OverallMetric())),
        "method": json.dumps(encoding.encode(methods.FederatedShapley())),
        "rules": rules.encode([rules.LargestContribution(1.0)]),
        "minimum_rows": 20,
        "minimum_class_rows": 5,
        "confidence": 0.95,
        "false_discovery_rate": 0.05,
        "seed": 0,
    }
    return {**asked, **changes}


def run(folder, run_uri, silo_examples, local_models=None, **changes):
    outputs = {"report": artifacts.ContributionReport(), "blessing": standard_artifacts.ModelBlessing()}
    for name, artifact in outputs.items():
        artifact.uri = os.path.join(folder, name)
    model = standard_artifacts.Model()
    model.uri, model.id = "/models/7", 7
    inputs = {"silo_examples": [silo_examples], "federated_run": [small_run.artifact(run_uri)], "model": [model]}
    if local_models is not None:
        inputs["local_models"] = [local_models]
    executor.Executor(base_executor.BaseExecutor.Context(tmp_dir=str(folder), unique_id="1")).Do(
        inputs, {name: [artifact] for name, artifact in outputs.items()}, properties(**changes)
    )
    return outputs


@pytest.fixture(scope="module")
def outputs(tmp_path_factory, run_uri, silo_examples, local_models):
    return run(tmp_path_factory.mktemp("outputs"), run_uri, silo_examples, local_models)


def report_of(outputs):
    return json.loads((pathlib.Path(outputs["report"].uri) / "report.json").read_text())


def test_the_files_tell_what_was_computed_in_memory(outputs, ledger, function):
    found = small_evaluation.evaluate(ledger, function)
    values = report_of(outputs)
    given = {silo["name"]: silo["contribution"] for silo in values["silos"]}
    for silo, value in zip(ledger.silos, found.contribution.values, strict=True):
        assert given[silo]["value"] == pytest.approx(value, abs=1e-9)
    table = pq.read_table(os.path.join(outputs["report"].uri, "silos.parquet")).to_pydict()
    assert sorted(table["name"]) == sorted(given)
    page = pathlib.Path(outputs["report"].uri, "report.html").read_text()
    assert "stranger" in page


def test_the_blessing_is_of_the_model_and_as_pusher_reads_it(outputs):
    blessing = outputs["blessing"]
    assert os.listdir(blessing.uri) == ["BLESSED"]
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("current_model_id") == 7
    assert blessing.get_string_custom_property("current_model") == "/models/7"
    found = {finding["silo"] for finding in report_of(outputs)["findings"]}
    assert outputs["report"].get_int_custom_property("found_silos") == len(found)


def test_a_rule_that_fails_withholds_the_blessing(tmp_path, run_uri, silo_examples):
    outputs = run(tmp_path, run_uri, silo_examples, rules=rules.encode([rules.NoFindings()]))
    assert os.listdir(outputs["blessing"].uri) == ["NOT_BLESSED"]
    assert report_of(outputs)["comparisons"] == []


def test_a_second_run_writes_the_same_files(tmp_path, outputs, run_uri, silo_examples, local_models):
    again = run(tmp_path, run_uri, silo_examples, local_models)
    for name in ("report.json", "report.html"):
        first, second = (pathlib.Path(each["report"].uri, name).read_bytes() for each in (outputs, again))
        assert first == second


def test_an_output_that_holds_files_is_refused(tmp_path, run_uri, silo_examples):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text("{}")
    with pytest.raises(FileExistsError, match="output 'report'"):
        run(tmp_path, run_uri, silo_examples)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"split": "test"}, Exception, "has no split 'test'; there are"),
        ({"method": '{"type": "Guess"}'}, ValueError, "method: \"type\" is 'Guess'"),
    ],
)
def test_a_wrong_setting_leaves_nothing_behind(tmp_path, run_uri, silo_examples, changes, error, message):
    with pytest.raises(error, match=message):
        run(tmp_path, run_uri, silo_examples, **changes)
    assert os.listdir(tmp_path) == []


def test_examples_that_the_model_cannot_read_are_refused(tmp_path, run_uri):
    records = [training_case.serialized("large", 0.0, (1.0, 2.0), 1) for _ in range(5)]
    silo_examples = training_case.silo_examples_artifact(tmp_path / "rows", {"eval": records})
    with pytest.raises(held_out_rows.HeldOutRowsError, match="label 'y' is missing in the silo examples"):
        run(tmp_path, run_uri, silo_examples)


def test_a_run_of_an_older_version_is_refused(tmp_path, federation, silo_examples):
    uri = small_run.write(tmp_path / "run", federation)
    os.remove(os.path.join(uri, "weights.npz"))
    with pytest.raises(federated_run.LedgerError, match=r"weights.npz is missing.*run FederatedTrainer again"):
        run(tmp_path, uri, silo_examples)


def test_silo_models_of_another_training_are_refused(tmp_path, run_uri, silo_examples):
    np.savez(tmp_path / "weights.npz", np.zeros((1, 9)))
    (tmp_path / "silos.json").write_text('["a"]')
    other = artifacts.SiloModels()
    other.uri = str(tmp_path)
    with pytest.raises(own_models.OwnModelsError, match="they are of different trainings"):
        run(tmp_path / "outputs", run_uri, silo_examples, other)


def test_retraining_without_the_trainers_inputs_is_said_to_be_missing(tmp_path, run_uri, silo_examples):
    outputs = run(tmp_path, run_uri, silo_examples, method=json.dumps(encoding.encode(methods.Retraining())))
    values = report_of(outputs)
    assert values["contribution"] is None
    (missing,) = [each for each in values["not_computed"] if each["what"] == "contribution by Retraining"]
    assert "give ContributionEvaluator the module_file" in missing["reason"]
    assert evaluation.LOCAL in values["not_computed"][1]["what"]
