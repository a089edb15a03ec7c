"""A training by the real component, on few rows: everything that the questions build on."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from benchmarks.suite.data import manifests
from benchmarks.suite.entrants import contract
from benchmarks.suite.questions import entrants, free_riding, scale
from sklearn.metrics import roc_auc_score

from benchmarks.suite import answers, applications, figures, measures, report, scales, silo_files, trainings
from tff_runtime.settings import ledgers, personalizations
from tfx_federated import silo_examples
from tfx_federated.beam_batch_inferrer import inference_results
from tfx_federated.fairness_evaluator import report as fairness_report

MANIFEST = manifests.Manifest(
    "taxi", family=manifests.Family(silos=4, rows=240, least_rows=20, size_skew=0.5), least_evaluation_rows=60
)
SETTINGS = {
    "rounds": 2,
    "evaluation_interval": 2,
    "custom_config": {"hidden_units": 3},
    "personalization": personalizations.FineTuning(epochs=1),
    "ledger": ledgers.DetailedLedger(),
}
TRAINING = trainings.Training(MANIFEST, SETTINGS)


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    return trainings.Trainings(tmp_path_factory.mktemp("trainings"))


@pytest.fixture(scope="module")
def trained(train):
    return train(TRAINING)


def test_every_test_row_has_a_prediction_of_the_common_and_of_its_silos_own_model(train, trained):
    rows = sum(len(silo.labels) for silo in train.population(MANIFEST).test)
    assert trained.federated.shape == trained.own.shape == (rows,)
    assert ((trained.federated > 0) & (trained.federated < 1)).all()
    assert np.isfinite(trained.own).all()


def test_a_training_is_made_once_and_found_again_by_an_equal_description(train, trained):
    before = train.count
    again = train(trainings.Training(MANIFEST, dict(reversed(SETTINGS.items()))))
    np.testing.assert_array_equal(again.federated, trained.federated)
    assert train.count == before == 1
    assert trainings.Training(MANIFEST, SETTINGS, without=("silo 0",)).key != TRAINING.key


def test_a_round_sends_the_model_and_the_update_of_each_silo(train, trained):
    features = train.population(MANIFEST).training[0].features.shape[1]
    parameters = (features + 1) * 3 + 3 + 1
    assert scale.round_bytes(trained, 4) == 2 * 4 * parameters * 4


def test_the_detectors_read_the_ledger_of_a_training(trained):
    named = {finding.silo for finding in free_riding.accusations(trained)}
    assert named <= {f"silo {number}" for number in range(4)}


def test_the_components_that_apply_a_model_see_every_row(train, trained, tmp_path):
    silos = train.population(MANIFEST).test
    labels = np.concatenate([silo.labels for silo in silos])
    taken = applications.seconds(str(trained.folder / "model"), silos, tmp_path / "applied")
    assert set(taken) == {"evaluation", "inference"}
    judged = fairness_report.read(str(tmp_path / "applied" / "FairnessEvaluator" / "report"))
    assert judged["rows"] == len(labels)
    assert judged["overall"]["value"] == pytest.approx(roc_auc_score(labels, trained.federated), abs=1e-3)
    scored = inference_results.read_manifest(str(tmp_path / "applied" / "BeamBatchInferrer" / "inference_result"))
    assert scored["rows_scored"] == len(labels)


def test_few_rows_are_among_more_and_left_out_silos_are_not_there(train):
    population = train.population(MANIFEST)

    def rows(**choice):
        return trainings.training_rows(dataclasses.replace(TRAINING, **choice), population)

    assert [silo.name for silo in rows(without=("silo 1",), only=("silo 1", "silo 2"))] == ["silo 2"]
    few, more = rows(most_rows=5), rows(most_rows=10)
    for one, other in zip(few, more, strict=True):
        assert len(one.labels) == 5
        assert {row.tobytes() for row in one.features} <= {row.tobytes() for row in other.features}


def test_the_written_silos_are_read_back_by_the_components_reader(train, tmp_path):
    population = train.population(MANIFEST)
    artifact = silo_files.write_silo_examples(str(tmp_path / "x"), {"train": population.training})
    reader = silo_examples.SiloExamplesReader(artifact.uri)
    assert {entry.silo: entry.rows for entry in reader.entries("train")} == population.sizes
    entry = reader.entries("train")[0]
    assert sorted(silo_files.serialized(population.training[0])) == list(reader.read(entry))


def test_an_answer_is_written_for_people_and_for_programs(train, trained, tmp_path):
    test = measures.TestRows.of(train.population(MANIFEST))
    values = measures.of_silos(test, trained.federated)
    records = answers.Source("q", TRAINING, "m & m").of_values(test, values)
    drawn = figures.figure("x", "y")
    figures.add_points(drawn, "m", test.training_rows, values.intervals.estimate)
    answer = answers.Answer("q", "What <is> it?", ["It is 1 < 2."], pd.DataFrame({"a": [1]}), drawn, records)
    run = {
        "machine": {"cores": 2, "processor": "p", "commit": "c", "uncommitted_changes": True},
        "scale": "small",
        "seeds": [0],
        "seconds": 1.0,
        "trainings": 1,
    }
    report.write(tmp_path, [answer], train.manifest_texts, run)
    page = (tmp_path / report.HTML_FILE).read_text()
    assert "What &lt;is&gt; it?" in page
    assert "It is 1 &lt; 2." in page
    assert 'src="http' not in page
    stored = pd.read_parquet(tmp_path / report.PARQUET_FILE)
    assert list(stored.columns) == answers.RECORDS.names
    overall = stored[stored.metric == "auc_over_all_rows"]
    assert overall.value.item() == pytest.approx(values.overall)
    described = json.loads((tmp_path / report.JSON_FILE).read_text())
    manifest = manifests.Manifest.from_json(json.dumps(described["manifests"][0]))
    assert manifest == train.population(MANIFEST).manifest
    assert described["versions"]["numpy"] == np.__version__


def _task(train):
    population = train.population(MANIFEST)
    scale = dataclasses.replace(scales.SCALES["small"], entrant_rounds=1)
    return population, entrants.task_of(population, scale)


def test_a_task_is_read_back_and_holds_no_test_labels(train, tmp_path):
    population, task = _task(train)
    contract.write(task, population.manifest.to_json(), tmp_path / "task")
    read = contract.read(tmp_path / "task")
    for field in dataclasses.fields(contract.Task):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(task, field.name))
    with np.load(tmp_path / "task" / "test.npz") as arrays:
        assert set(arrays) == {"features", "silo"}


def test_plain_tff_enters_in_an_interpreter_of_its_own(train):
    population, task = _task(train)
    python = entrants.interpreters()["plain_tff"]
    predicted, measured = entrants.run("plain_tff", python, task, population.manifest.to_json())
    assert predicted.shape == task.test_silo.shape
    assert measured.exit_code == 0


def test_an_entrant_that_fails_is_named_with_what_it_printed(train):
    population, task = _task(train)
    with pytest.raises(entrants.EntrantError, match=r"entrant nobody ended with 1; .*No module named"):
        entrants.run("nobody", entrants.interpreters()[entrants.OURS], task, population.manifest.to_json())


@pytest.mark.parametrize("wrong", [np.full(3, 0.5), np.array([0.5, 1.5])], ids=["shape", "range"])
def test_predictions_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="predictions h"):
        contract.checked(wrong, 2)
