import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tfx.utils import path_utils

from tests.processes import worker_processes
from tests.tfx_federated.federated_trainer import training_case as case
from tfx_federated import tff_process
from tfx_federated.federated_trainer import executor, feature_specs

ROWS = {"train": case.rows(case.SILOS, 0), "eval": case.rows({**case.SILOS, "new silo": 3}, 1)}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return {
        "silo_examples": [case.silo_examples_artifact(folder, ROWS)],
        "schema": [case.schema_artifact(folder / "schema")],
    }


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    outputs = case.outputs(folder)
    executor.Executor(case.context(folder)).Do(inputs, outputs, case.settings(folder))
    assert worker_processes() == []
    return {name: artifacts[0] for name, artifacts in outputs.items()}


def predict(artifact, records):
    model = tf.saved_model.load(path_utils.serving_model_path(artifact.uri))
    return model.signatures["serving_default"](examples=tf.constant(records))["predictions"].numpy()


def test_the_model_predicts_a_probability_for_serialized_raw_examples_without_label(trained):
    record = tf.train.Example.FromString(ROWS["eval"][0])
    del record.features.feature["late"]
    predictions = predict(trained["model"], [record.SerializeToString(), *ROWS["eval"]])
    assert predictions.shape == (1 + len(ROWS["eval"]), 1)
    assert predictions[0] == predictions[1]
    assert ((predictions > 0) & (predictions < 1)).all()


def test_the_models_loss_on_each_silo_is_the_one_that_tff_measured(trained):
    lines = (pathlib.Path(trained["federated_run"].uri) / "silo_metrics.jsonl").read_text().splitlines()
    measured = {
        (line["model"], line["silo"]): line["loss"]
        for line in map(json.loads, lines)
        if line["round"] == 2 and line["split"] == "eval"
    }
    assert set(measured) == {(model, silo) for model in ("federated", "local") for silo in case.SILOS}
    for (model, silo), loss in measured.items():
        records = [r for r in ROWS["eval"] if silo.encode() == _value(r, "company", "bytes_list")]
        label = np.array([_value(record, "late", "int64_list") for record in records])
        probability = predict(trained["model" if model == "federated" else "silo_models"], records)[:, 0]
        expected = -np.mean(np.log(np.where(label == 1, probability, 1 - probability)))
        assert loss == pytest.approx(expected, rel=1e-4)


def _value(record, name, kind):
    return getattr(tf.train.Example.FromString(record).features.feature[name], kind).value[0]


def test_silos_without_a_model_of_their_own_get_nan(trained):
    predictions = predict(trained["silo_models"], ROWS["eval"])
    unknown = [_value(record, "company", "bytes_list") == b"new silo" for record in ROWS["eval"]]
    np.testing.assert_array_equal(np.isnan(predictions[:, 0]), unknown)


def test_the_run_records_settings_and_silo_weights(trained):
    run = trained["federated_run"]
    settings = json.loads((pathlib.Path(run.uri) / "settings.json").read_text())
    assert {silo: fields["weight"] for silo, fields in settings["silos"].items()} == case.SILOS
    assert (run.get_int_custom_property("silos"), run.get_int_custom_property("rows")) == (3, 50)
    assert any(file.startswith("events.out.tfevents") for file in os.listdir(os.path.join(run.uri, "tensorboard")))


def run_with(inputs, folder, **changes):
    executor.Executor(case.context(folder)).Do(inputs, case.outputs(folder), case.settings(folder, **changes))


def test_the_same_seed_gives_the_same_model(inputs, trained, tmp_path):
    outputs = case.outputs(tmp_path)
    executor.Executor(case.context(tmp_path)).Do(inputs, outputs, case.settings(tmp_path))
    for name in ("model", "silo_models"):
        np.testing.assert_array_equal(predict(outputs[name][0], ROWS["eval"]), predict(trained[name], ROWS["eval"]))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"label_key": "nowhere"},
            feature_specs.FeatureError,
            r"label 'nowhere' is not in the silo examples; there are \[",
        ),
        ({"train_split": "nowhere"}, ValueError, "no split 'nowhere'"),
        ({"rounds": 0}, ValueError, "rounds is 0: nothing is trained"),
        ({"client_learning_rate": float("nan")}, ValueError, "client_learning_rate is nan"),
        (
            {"excluded_silos": '["large", "nobody"]'},
            ValueError,
            "excluded_silos names 'nobody', which the silo examples",
        ),
        ({"excluded_silos": json.dumps(list(case.SILOS))}, ValueError, "has no rows of silos that are not excluded"),
        ({"module_file": "nowhere.py"}, FileNotFoundError, "module_file nowhere.py does not exist"),
        ({"tff_python": "/nowhere/python"}, tff_process.TffInterpreterError, "tfx-federated install-tff DIR"),
    ],
)
def test_a_wrong_setting_is_named(inputs, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        run_with(inputs, tmp_path, **changes)


def test_the_users_traceback_reaches_the_pipeline(inputs, tmp_path):
    module = "def model_fn(arguments):\n    raise KeyError('my own mistake')"
    with pytest.raises(tff_process.TrainingFailedError, match=r"line 2, in model_fn(.|\n)*my own mistake"):
        run_with(inputs, tmp_path, module=module)
    assert worker_processes() == []


def test_a_label_that_is_text_is_refused(inputs, tmp_path):
    text = case.SCHEMA.replace('name: "late" type: INT', 'name: "late" type: BYTES')
    changed = {**inputs, "schema": [case.schema_artifact(tmp_path / "schema", text)]}
    with pytest.raises(feature_specs.FeatureError, match="label 'late' is not numeric but string"):
        run_with(changed, tmp_path)


def test_a_silo_key_that_the_schema_does_not_have_is_named(inputs, tmp_path):
    text = case.SCHEMA.replace('name: "company"', 'name: "airline"')
    changed = {**inputs, "schema": [case.schema_artifact(tmp_path / "schema", text)]}
    with pytest.raises(feature_specs.FeatureError, match=r"silo key 'company' is not among the features \['airline'"):
        run_with(changed, tmp_path)


def test_an_output_folder_that_is_in_use_is_refused(inputs, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "something").write_text("of somebody")
    outputs = case.outputs(tmp_path / "other")
    outputs["model"][0].uri = str(tmp_path / "model")
    with pytest.raises(FileExistsError, match="output 'model'"):
        executor.Executor(case.context(tmp_path)).Do(inputs, outputs, case.settings(tmp_path))
