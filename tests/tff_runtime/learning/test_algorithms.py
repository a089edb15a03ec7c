import numpy as np
import pytest

from tests.tff_runtime.learning import numpy_algorithms as reference
from tff_runtime import federated_training, initial_weights, module_file
from tff_runtime.learning import cohort
from tff_runtime.settings import algorithms, cohorts, executions, personalizations, schedules

SILOS = {"large": 50, "small": 9, "one row": 1}
EXECUTIONS = [executions.InProcess(), executions.Native()]


def train(directory):
    job = directory.read_job()
    user = module_file.load(directory.module, job)
    trained = federated_training.run_training(directory, job, user)
    initial = initial_weights.initial_weights(directory, job, user.make_model).trainable
    return job, reference.flat(initial), trained


def rows_of(directory, job, split="train"):
    x, y = (np.load(directory.data / split / file).astype(np.float64) for file in ("x.npy", "label.npy"))
    return {
        silo.silo: (x[silo.start : silo.start + silo.count], y[silo.start : silo.start + silo.count])
        for silo in job.silos[split]
    }


ALGORITHMS = {
    algorithms.FedAvg(): reference.fedavg,
    algorithms.FedSGD(): reference.fedsgd,
    algorithms.Scaffold(): reference.scaffold,
    algorithms.MimeLite(momentum=0.6): lambda w, silos: reference.mime_lite(w, silos, 0.6),
    algorithms.QFedAvg(q=2.0): lambda w, silos: reference.qfedavg(w, silos, 2.0),
    algorithms.AgnosticFederated(mixture_learning_rate=0.5): lambda w, silos: reference.agnostic(w, silos, 0.5),
    algorithms.TiltedFederated(tilt=3.0): lambda w, silos: reference.tilted(w, silos, 3.0),
}


@pytest.mark.parametrize("execution", EXECUTIONS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda value: type(value).__name__)
def test_an_algorithm_equals_numpy(make_job, algorithm, execution):
    directory = make_job(SILOS, local_models=False, algorithm=algorithm, execution=execution)
    job, initial, trained = train(directory)
    silos = reference.Silos(rows_of(directory, job), job)
    expected = ALGORITHMS[algorithm](initial, silos)
    np.testing.assert_allclose(reference.flat(trained.weights.trainable), expected, atol=1e-5)
    if algorithm != algorithms.FedAvg():
        # Else the algorithm would not show.
        assert np.abs(expected - reference.fedavg(initial, silos)).max() > 1e-3


def test_scaffold_keeps_the_control_variates_of_silos_that_are_not_in_the_cohort(make_job):
    choices = {"algorithm": algorithms.Scaffold(), "cohort": cohorts.UniformSample(size=2)}
    directory = make_job({**SILOS, "fourth": 20}, local_models=False, rounds=5, **choices)
    job, initial, trained = train(directory)
    rows = rows_of(directory, job)
    drawn = [cohort.draw(job.cohort, np.array([len(x) for x, _ in rows.values()]), job.seed, t) for t in range(1, 6)]
    assert len({tuple(numbers) for numbers in drawn}) > 1
    expected = reference.scaffold(initial, reference.Silos(rows, job), drawn)
    np.testing.assert_allclose(reference.flat(trained.weights.trainable), expected, atol=1e-5)


LAYERS = np.repeat([False, False, True, True], [12, 4, 4, 1])
PERSONALIZATIONS = {
    personalizations.Ditto(strength=0.7): lambda w, silos: reference.ditto(w, silos, 0.7),
    personalizations.LocalLayers(layers=("dense_1",)): lambda w, silos: reference.local_layers(w, silos, LAYERS),
    personalizations.MeanRegularized(strength=0.7): lambda w, silos: reference.mean_regularized(w, silos, 0.7),
}
NAMED_MODULE = """
import tensorflow as tf
from tff_runtime.model import FederatedModel

def model_fn(arguments):
    x = tf.keras.Input(arguments.features["x"].shape, name="x")
    hidden = tf.keras.layers.Dense(4, activation="tanh", name="dense")(x)
    output = tf.keras.layers.Dense(1, activation="sigmoid", name="dense_1")(hidden)
    return FederatedModel(tf.keras.Model(x, output), loss=tf.keras.losses.BinaryCrossentropy())
"""


@pytest.mark.parametrize("execution", EXECUTIONS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("personalization", PERSONALIZATIONS, ids=lambda value: type(value).__name__)
def test_personal_models_equal_numpy(make_job, personalization, execution):
    choices = {"personalization": personalization, "execution": execution, "module": NAMED_MODULE}
    directory = make_job(SILOS, local_models=False, **choices)
    job, initial, trained = train(directory)
    shared, own = PERSONALIZATIONS[personalization](initial, reference.Silos(rows_of(directory, job), job))
    np.testing.assert_allclose(reference.flat(trained.weights.trainable), shared, atol=1e-5)
    for position, silo in enumerate(own):
        actual = reference.flat([stack[position] for stack in trained.own_weights])
        np.testing.assert_allclose(actual, own[silo], atol=1e-5)


def test_fine_tuning_keeps_the_best_epoch_of_each_silo(make_job):
    setting = personalizations.FineTuning(epochs=4, learning_rate=0.5)
    directory = make_job(SILOS, local_models=False, personalization=setting)
    job, initial, trained = train(directory)
    silos = reference.Silos(rows_of(directory, job), job)
    shared, own = reference.fine_tuning(
        reference.fedavg(initial, silos), silos, rows_of(directory, job, "eval"), 4, 0.5
    )
    np.testing.assert_allclose(reference.flat(trained.weights.trainable), shared, atol=1e-5)
    for position, silo in enumerate(own):
        actual = reference.flat([stack[position] for stack in trained.own_weights])
        np.testing.assert_allclose(actual, own[silo], atol=1e-5)
    # Some silo is better off with its own model, and some with the global one.
    is_tuned = [np.abs(own[silo] - shared).max() > 0 for silo in own]
    assert any(is_tuned)
    assert not all(is_tuned)


def test_without_rounds_the_silos_fine_tune_what_training_starts_from(make_job):
    setting = personalizations.FineTuning(epochs=2, learning_rate=0.5)
    directory = make_job(SILOS, local_models=False, rounds=0, personalization=setting)
    job, initial, trained = train(directory)
    assert trained.best_round == 0
    np.testing.assert_array_equal(reference.flat(trained.weights.trainable), initial)
    silos = reference.Silos(rows_of(directory, job), job)
    _, own = reference.fine_tuning(initial, silos, rows_of(directory, job, "eval"), 2, 0.5)
    for position, silo in enumerate(own):
        actual = reference.flat([stack[position] for stack in trained.own_weights])
        np.testing.assert_allclose(actual, own[silo], atol=1e-5)
    assert any(np.abs(own[silo] - initial).max() > 0 for silo in own)


def test_a_layer_that_is_not_there_is_named(make_job):
    from tff_runtime import job as job_lib

    directory = make_job(SILOS, personalization=personalizations.LocalLayers(layers=("head*",)), module=NAMED_MODULE)
    with pytest.raises(job_lib.JobError, match=r"\['head\*'\] fits no layer; .* \['dense', 'dense_1'\]"):
        train(directory)


def test_rates_follow_their_schedules(make_job):
    choices = {
        "client_schedule": schedules.ExponentialDecay(factor_per_round=0.5),
        "server_schedule": schedules.CosineDecay(rounds=3, final_factor=0.2),
    }
    directory = make_job(SILOS, local_models=False, server_learning_rate=0.8, **choices)
    job, w, trained = train(directory)
    silos = reference.Silos(rows_of(directory, job), job)
    # Half a cosine from 1 to 0.2 over three rounds.
    for t, server_rate in enumerate([0.8, 0.8 * 0.6, 0.8 * 0.2], start=1):
        mean = np.average(
            [silos.sgd(w, silo, t, rate=0.2 * 0.5 ** (t - 1))[0] for silo in silos.rows], axis=0, weights=silos.counts
        )
        w = w + server_rate * (mean - w)
    np.testing.assert_allclose(reference.flat(trained.weights.trainable), w, atol=1e-5)


def test_the_server_has_momentum(make_job):
    directory = make_job(SILOS, local_models=False, server_momentum=0.7)
    job, w, trained = train(directory)
    silos = reference.Silos(rows_of(directory, job), job)
    velocity = np.zeros_like(w)
    for t in range(1, job.rounds + 1):
        mean = np.average([silos.sgd(w, silo, t)[0] for silo in silos.rows], axis=0, weights=silos.counts)
        velocity = 0.7 * velocity + (w - mean)
        w = w - velocity
    np.testing.assert_allclose(reference.flat(trained.weights.trainable), w, atol=1e-5)
