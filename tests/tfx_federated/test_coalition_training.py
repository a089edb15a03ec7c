"""The ledger of a real training, and its coalitions trained again."""

import itertools
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import channel_utils, standard_artifacts
from tfx.utils import path_utils

from tests.processes import worker_processes
from tests.tfx_federated.federated_trainer import training_case as case
from tfx_federated import ContributionEvaluator, artifacts, coalition_training
from tfx_federated.contribution_evaluator import executor as contribution_executor
from tfx_federated.contribution_evaluator import methods, model_function, utilities
from tfx_federated.federated_trainer import executor

SILOS = {"large": 40, "quoted '\"/\n": 9, "small": 5}
ROWS = {"train": case.rows(SILOS, 0), "eval": case.rows(SILOS, 1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module")
def inputs(folder):
    return {
        "silo_examples": [case.silo_examples_artifact(folder, ROWS)],
        "schema": [case.schema_artifact(folder / "schema")],
    }


@pytest.fixture(scope="module")
def settings(folder):
    return case.settings(folder, local_models=0, ledger='{"type": "DetailedLedger"}')


@pytest.fixture(scope="module")
def trained(inputs, folder, settings):
    outputs = case.outputs(folder)
    executor.Executor(case.context(folder)).Do(inputs, outputs, settings)
    return {name: artifacts[0].uri for name, artifacts in outputs.items()}


@pytest.fixture(scope="module")
def updates(trained):
    return pathlib.Path(trained["federated_run"]) / "updates"


def weights_of(file):
    with np.load(file) as arrays:
        return dict(arrays)


def test_the_index_says_what_is_stored(updates):
    index = json.loads((updates / "index.json").read_text())
    # Keras numbers layers that have no name of their own.
    variables = [(variable["name"].partition("/")[2], variable["shape"]) for variable in index.pop("variables")]
    assert variables == [("kernel:0", [3, 4]), ("bias:0", [4]), ("kernel:0", [4, 1]), ("bias:0", [1])]
    assert index == {"format": 1, "parameters": 21, "rounds": [1, 2], "omitted_rounds": []}
    files = {"index.json", "round-00001.npz", "round-00002.npz"}
    assert set(os.listdir(updates)) == files


def test_the_model_predicts_with_the_weights_of_every_round_what_the_trainer_measured(updates, trained):
    models = model_function.ModelFunction(str(updates.parent / "model_function"))
    rounds = [weights_of(updates / f"round-{number:05d}.npz") for number in (1, 2)]
    lines = (updates.parent / "silo_updates.jsonl").read_text().splitlines()
    losses = {
        (line["round"], line["silo"]): (line["loss_before"], line["loss_after"]) for line in map(json.loads, lines)
    }
    for silo in SILOS:
        records = [record for record in ROWS["train"] if _feature(record, "company", "bytes_list") == silo.encode()]
        label = np.array([_feature(record, "late", "int64_list") for record in records])
        for number, file in enumerate(rounds, start=1):
            assert file["silos"].tolist() == sorted(SILOS)
            row = sorted(SILOS).index(silo)
            after = file["global"] + file["updates"][row] * file["scales"][row]
            weights = np.stack([file["global"], after]).astype(np.float32)
            probability = models.predictions(weights, parsed(records, models.feature_specs))
            measured = -np.mean(np.log(np.where(label == 1, probability, 1 - probability)), axis=1)
            assert losses[number, silo] == pytest.approx(measured, rel=2e-3)
    model = tf.saved_model.load(path_utils.serving_model_path(trained["model"]))
    served = model.signatures["serving_default"](examples=tf.constant(ROWS["eval"]))["predictions"]
    exported = weights_of(updates.parent / "weights.npz")["exported"][np.newaxis]
    predictions = models.predictions(exported, parsed(ROWS["eval"], models.feature_specs))
    np.testing.assert_allclose(predictions[0], served[:, 0], atol=1e-6)


def parsed(records, specs):
    return {name: tensor.numpy() for name, tensor in tf.io.parse_example(records, specs).items()}


def _feature(record, name, kind):
    return getattr(tf.train.Example.FromString(record).features.feature[name], kind).value[0]


def test_the_coalition_of_all_has_the_trained_weights_and_that_of_nobody_the_initial_ones(
    inputs, trained, settings, updates
):
    coalitions = [list(SILOS), [], ["small"]]
    result = coalition_training.train(inputs, trained["federated_run"], settings["module_file"], coalitions)
    assert worker_processes() == []
    assert result.silos == tuple(sorted(SILOS))
    assert result.members.tolist() == [[True] * 3, [False] * 3, [silo == "small" for silo in sorted(SILOS)]]
    initial = weights_of(updates / "round-00001.npz")["global"]
    np.testing.assert_allclose(result.weights[0], weights_of(updates.parent / "weights.npz")["last_round"], atol=1e-6)
    np.testing.assert_array_equal(result.weights[1], initial)
    assert np.abs(result.weights[2] - initial).max() > 1e-3


def test_contributions_by_retraining_are_shapley_values_of_these_trainings(inputs, trained, settings, tmp_path):
    report, blessing, model = (
        artifacts.ContributionReport(),
        standard_artifacts.ModelBlessing(),
        standard_artifacts.Model(),
    )
    report.uri, blessing.uri, model.uri = str(tmp_path / "report"), str(tmp_path / "blessing"), trained["model"]
    run = artifacts.FederatedRun()
    run.uri = trained["federated_run"]
    loss = utilities.OverallMetric("negative_log_loss")
    node = ContributionEvaluator(
        **{name: channel_utils.as_channel(given) for name, given in inputs.items()},
        federated_run=channel_utils.as_channel([run]),
        model=channel_utils.as_channel([model]),
        utility=loss,
        method=methods.Retraining(),
        module_file=settings["module_file"],
    )
    contribution_executor.Executor(case.context(tmp_path)).Do(
        {**inputs, "federated_run": [run], "model": [model]},
        {"report": [report], "blessing": [blessing]},
        node.exec_properties,
    )
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    found = {silo["name"]: silo["contribution"]["value"] for silo in written["silos"]}
    worth = _worth_of_coalitions(inputs, trained["federated_run"], settings["module_file"])
    orders = list(itertools.permutations(SILOS))
    for silo in SILOS:
        before = [frozenset(order[: order.index(silo)]) for order in orders]
        expected = np.mean([worth[coalition | {silo}] - worth[coalition] for coalition in before])
        assert found[silo] == pytest.approx(expected, abs=1e-5)
    assert written["contribution"]["gained"] == pytest.approx(worth[frozenset(SILOS)] - worth[frozenset()], abs=1e-5)


def _worth_of_coalitions(inputs, run_uri, module_file):
    coalitions = [frozenset(chosen) for size in range(4) for chosen in itertools.combinations(SILOS, size)]
    weights = coalition_training.train(inputs, run_uri, module_file, coalitions).weights
    models = model_function.ModelFunction(str(pathlib.Path(run_uri) / "model_function"))
    label = np.array([_feature(record, "late", "int64_list") for record in ROWS["eval"]])
    probability = models.predictions(weights, parsed(ROWS["eval"], models.feature_specs))
    values = np.mean(np.log(np.where(label == 1, probability, 1 - probability)), axis=1)
    return dict(zip(coalitions, values, strict=True))


def with_settings(trained, folder, **changes):
    """Returns the URI of a run like the trained one, with other settings."""
    recorded = json.loads((pathlib.Path(trained["federated_run"]) / "settings.json").read_text())
    (folder / "run").mkdir()
    (folder / "run" / "settings.json").write_text(json.dumps({**recorded, **changes}))
    return str(folder / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"privacy": {"type": "RecordLevel", "epsilon": 1.0, "delta": 1e-3}}, "would spend that privacy again"),
        ({"silos": {"large": {"rows": 40, "weight": 1.0}}}, "other silos or rows in split 'train' than the federated"),
        ({"warm_start": True}, "began with the weights of a base_model"),
        ({"aggregation": {"type": "MultiKrum", "byzantine": 0}}, "MultiKrum needs 3 silos in a round, and there are 2"),
    ],
)
def test_a_run_whose_coalitions_cannot_be_trained_is_refused(inputs, trained, settings, tmp_path, changes, message):
    run = with_settings(trained, tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        coalition_training.train(inputs, run, settings["module_file"], [["large", "small"]])


def test_an_unknown_silo_is_named(inputs, trained, settings):
    with pytest.raises(ValueError, match="the silo 'nobody', which the training does not have"):
        coalition_training.train(inputs, trained["federated_run"], settings["module_file"], [["large", "nobody"]])


def test_a_base_model_that_the_run_did_not_have_is_refused(inputs, trained, settings):
    model = standard_artifacts.Model()
    model.uri = trained["model"]
    with pytest.raises(ValueError, match="began without a base_model; leave it out"):
        coalition_training.train(
            {**inputs, "base_model": [model]}, trained["federated_run"], settings["module_file"], [["large"]]
        )
