import dataclasses
import json
import math

import numpy as np
import pytest

from tests.tff_runtime import conftest
from tests.tff_runtime.learning import numpy_algorithms as reference
from tff_runtime import federated_training, initial_weights, module_file
from tff_runtime import job as job_lib
from tff_runtime.learning import best_round
from tff_runtime.settings import personalizations, stopping

SILOS = [job_lib.SiloRows("large", 0, 30), job_lib.SiloRows("small", 30, 10), job_lib.SiloRows("tiny", 40, 2)]


def value(setting, *metrics):
    return best_round.value(setting, SILOS, [{"loss": -1.0, "auc": one} for one in metrics])


@pytest.mark.parametrize(
    ("of", "higher_is_better", "expected"),
    [
        ("overall", False, (30 * 0.9 + 10 * 0.6 + 2 * 0.5) / 42),
        ("silos", False, (0.9 + 0.6 + 0.5) / 3),
        ("worst_silo", False, 0.9),
        ("overall", True, -(30 * 0.9 + 10 * 0.6 + 2 * 0.5) / 42),
        ("silos", True, -(0.9 + 0.6 + 0.5) / 3),
        ("worst_silo", True, -0.5),
    ],
)
def test_each_value_by_hand(of, higher_is_better, expected):
    setting = stopping.BestRound(metric="auc", of=of, higher_is_better=higher_is_better)
    assert value(setting, 0.9, 0.6, 0.5) == pytest.approx(expected)


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("higher_is_better", [False, True])
@pytest.mark.parametrize(("of", "expected"), [("overall", (10 * 0.6 + 2 * 0.8) / 12), ("silos", 0.7)])
def test_a_silo_whose_metric_is_not_finite_does_not_count(of, expected, higher_is_better, lost):
    setting = stopping.BestRound(metric="auc", of=of, higher_is_better=higher_is_better)
    assert abs(value(setting, lost, 0.6, 0.8)) == pytest.approx(expected)
    assert value(setting, lost, lost, lost) == math.inf


def test_a_metric_that_the_model_does_not_have_is_named():
    with pytest.raises(job_lib.JobError, match="no metric 'accuracy'; it has loss, auc") as caught:
        value(stopping.BestRound(metric="accuracy"), 0.1, 0.2, 0.3)
    assert caught.value.kind == "Stopping"


def test_each_silo_keeps_its_better_model():
    nan, inf = math.nan, math.inf
    best = best_round.OwnBest([np.zeros((5, 2))], np.array([1.0, 1.0, 1.0, inf, inf]))
    later = best.or_better([np.ones((5, 2))], np.array([0.5, 2.0, nan, inf, 3.0]))
    # Nothing is known of the fourth: it goes on to its later model, as the federation does.
    np.testing.assert_array_equal(later.weights[0][:, 0], [1, 0, 0, 1, 1])
    np.testing.assert_array_equal(later.values, [0.5, 1.0, 1.0, inf, 3.0])
    np.testing.assert_array_equal(best.weights[0], 0)


def train(directory):
    job = directory.read_job()
    return federated_training.run_training(directory, job, module_file.load(directory.module, job))


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def losses_of_evaluation(directory, model="federated"):
    """Returns the mean loss over rows of the evaluation split by round, from the records."""
    rows = [
        (line["round"], line["loss"], line["rows"])
        for line in lines(directory.unfinished_result / "run" / "silo_metrics.jsonl")
        if (line["split"], line["model"]) == ("eval", model)
    ]
    return {
        number: np.average([r[1] for r in rows if r[0] == number], weights=[r[2] for r in rows if r[0] == number])
        for number in sorted({row[0] for row in rows})
    }


ROWS = {"large": 30, "small": 12, "tiny": 8}
# So long and so fast that few rows are learnt by heart.
CHOICES = {
    "rounds": 20,
    "client_learning_rate": 0.5,
    "evaluation_interval": 1,
    "checkpoint_interval": 100,
    "local_models": True,
    "stopping": stopping.BestRound(patience=2),
}


def rows_of(directory, job, split):
    x, y = (np.load(directory.data / split / file).astype(np.float64) for file in ("x.npy", "label.npy"))
    return {
        silo.silo: (x[silo.start : silo.start + silo.count], y[silo.start : silo.start + silo.count])
        for silo in job.silos[split]
    }


def assert_same_model(actual, expected):
    assert actual.best_round == expected.best_round
    assert_equal(actual.weights.trainable, expected.weights.trainable)


def assert_equal(weights, others):
    for weight, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    directory = conftest.JobMaker(tmp_path_factory.mktemp("jobs"))(ROWS, **CHOICES)
    return directory, train(directory)


def assert_stopped_after_the_best(directory, models, losses):
    best = min(losses, key=losses.get)
    assert models.best_round == best > 1
    # Two evaluations without a better one.
    assert list(losses) == list(range(1, best + 3))
    (event,) = [line for line in lines(directory.progress) if line["event"] == "stopped"]
    assert event == {"event": "stopped", "round": best + 2, "best_round": best}


def test_a_training_stops_when_no_evaluation_was_better_for_a_while(stopped):
    directory, models = stopped
    losses = losses_of_evaluation(directory)
    assert_stopped_after_the_best(directory, models, losses)
    rounds = lines(directory.unfinished_result / "run" / "rounds.jsonl")
    assert [line["round"] for line in rounds] == list(losses)


def test_the_weights_are_those_of_the_best_round(stopped):
    directory, models = stopped
    job = directory.read_job()
    initial = initial_weights.initial_weights(directory, job, module_file.load(directory.module, job).make_model)
    silos = reference.Silos(rows_of(directory, job, "train"), dataclasses.replace(job, rounds=models.best_round))
    expected = reference.fedavg(reference.flat(initial.trainable), silos)
    np.testing.assert_allclose(reference.flat(models.weights.trainable), expected, atol=1e-4)


def test_a_silo_alone_keeps_the_round_that_is_best_on_its_own_rows(stopped):
    directory, models = stopped
    job = directory.read_job()
    initial = initial_weights.initial_weights(directory, job, module_file.load(directory.module, job).make_model)
    silos, held_out = reference.Silos(rows_of(directory, job, "train"), job), rows_of(directory, job, "eval")
    last = max(losses_of_evaluation(directory))
    chosen = []
    for number, silo in enumerate(held_out):
        vectors = [reference.flat(initial.trainable)]
        for round_number in range(1, last + 1):
            vectors.append(silos.sgd(vectors[-1], silo, round_number)[0])
        losses = [reference.loss(vector, held_out[silo]) for vector in vectors[1:]]
        chosen.append(1 + int(np.argmin(losses)))
        actual = reference.flat([stack[number] for stack in models.own_weights])
        np.testing.assert_allclose(actual, vectors[chosen[-1]], atol=1e-4)
    assert min(chosen) < last
    assert len(set(chosen)) > 1


def test_a_training_ended_after_the_best_round_goes_on_to_the_same_models(stopped, make_job):
    directory, models = stopped
    ended = make_job(ROWS, **{**CHOICES, "rounds": models.best_round + 1})
    # All rounds are run, and the last one is not the best.
    assert_same_model(train(ended), models)
    fields = json.loads(ended.job.read_text())
    ended.job.write_text(json.dumps({**fields, "rounds": CHOICES["rounds"]}))
    resumed = train(ended)
    assert_same_model(resumed, models)
    assert_equal(resumed.own_weights, models.own_weights)
    assert losses_of_evaluation(ended) == losses_of_evaluation(directory)


def test_where_silos_have_their_own_models_those_decide(stopped, make_job):
    directory = make_job(ROWS, **CHOICES, personalization=personalizations.Ditto(strength=0.01))
    models = train(directory)
    losses = losses_of_evaluation(directory, "personal")
    assert_stopped_after_the_best(directory, models, losses)
    # The federated model, which Ditto leaves as it is, was best in another round.
    assert models.best_round != stopped[1].best_round
    own = [
        reference.loss(reference.flat([stack[number] for stack in models.own_weights]), rows)
        for number, rows in enumerate(rows_of(directory, directory.read_job(), "eval").values())
    ]
    counts = [silo.count for silo in directory.read_job().silos["eval"]]
    assert np.average(own, weights=counts) == pytest.approx(losses[models.best_round], rel=1e-4)


NO_METRIC = conftest.MODULE.replace(
    'tf.keras.metrics.AUC(name="auc")',
    'tf.keras.metrics.MeanMetricWrapper(lambda labels, outputs: outputs * float("nan"), name="never")',
)


def test_without_a_finite_evaluation_the_last_model_is_kept(make_job):
    choices = {"module": NO_METRIC, "stopping": stopping.BestRound(metric="never"), "rounds": 1}
    models = train(make_job({"a": 8}, **{**CHOICES, **choices}))
    assert models.best_round == 1
