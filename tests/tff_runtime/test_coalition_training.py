import dataclasses
import json

import numpy as np
import pytest

from tests.tff_runtime.learning import numpy_algorithms as reference
from tests.tff_runtime.test_training import OWN_PROCESS
from tff_runtime import coalition_training, federated_training, initial_weights, module_file
from tff_runtime import job as job_lib
from tff_runtime.contexts import in_process
from tff_runtime.settings import algorithms, cohorts

SILOS = {"a": 40, "b": 9, "one row": 1, "d": 25}
COALITIONS = [[], ["b"], ["d", "a"], ["a", "b", "d"], ["a", "b", "one row", "d"]]
CHOICES = {"local_models": False, "evaluation_split": None}


def train_coalitions(directory, coalitions=COALITIONS):
    job = directory.read_job()
    user = module_file.load(directory.module, job)
    directory.coalitions.write_text(json.dumps(coalitions))
    coalition_training.train_coalitions(directory, job, user)
    with np.load(directory.unfinished_result / "run" / "updates" / "coalitions.npz") as file:
        return job, user, dict(file)


def rows_of(directory, job):
    x, y = (np.load(directory.data / "train" / file).astype(np.float64) for file in ("x.npy", "label.npy"))
    return {
        silo.silo: (x[silo.start : silo.start + silo.count], y[silo.start : silo.start + silo.count])
        for silo in job.silos["train"]
    }


def train_alone(make_job, coalition, choices):
    """Returns the weights of a job that has no other silos than those of the coalition."""
    directory = make_job(SILOS, name="-".join(["alone", *sorted(coalition)]), **CHOICES, **choices)
    job = directory.read_job()
    silos = tuple(silo for silo in job.silos["train"] if silo.silo in coalition)
    job = dataclasses.replace(job, silos={"train": silos})
    user = module_file.load(directory.module, job)
    return reference.flat(federated_training.run_training(directory, job, user).weights.trainable)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [(algorithms.FedAvg(), reference.fedavg), (algorithms.Scaffold(), reference.scaffold)],
    ids=["FedAvg", "Scaffold"],
)
def test_each_coalition_is_trained_as_if_no_other_silo_were_there(make_job, algorithm, expected):
    directory = make_job(SILOS, algorithm=algorithm, **CHOICES)
    job, user, trained = train_coalitions(directory)
    initial = reference.flat(initial_weights.initial_weights(directory, job, user.make_model).trainable)
    assert trained["silos"].tolist() == list(SILOS)
    assert trained["weights"].dtype == np.float32
    rows = rows_of(directory, job)
    for coalition, is_member, weights in zip(COALITIONS, trained["members"], trained["weights"], strict=True):
        assert {silo for silo, inside in zip(SILOS, is_member, strict=True) if inside} == set(coalition)
        silos = reference.Silos({silo: rows[silo] for silo in SILOS if silo in coalition}, job)
        np.testing.assert_allclose(weights, expected(initial, silos) if coalition else initial, atol=1e-5)


@pytest.mark.parametrize(
    "choices",
    [
        {"algorithm": algorithms.AgnosticFederated(mixture_learning_rate=0.5)},
        {"cohort": cohorts.UniformSample(size=2), "server_optimizer": "adam", "silo_weighting": "uniform"},
    ],
    ids=["mixture of the silos", "cohorts"],
)
def test_a_coalition_has_the_weights_of_a_job_without_the_other_silos(make_job, choices):
    coalition = ["a", "b", "d"]
    _, _, trained = train_coalitions(make_job(SILOS, **CHOICES, **choices), [coalition])
    np.testing.assert_allclose(trained["weights"][0], train_alone(make_job, coalition, choices), atol=1e-5)


def test_a_cohort_larger_than_a_coalition_is_the_whole_coalition(make_job):
    _, _, trained = train_coalitions(make_job(SILOS, cohort=cohorts.RoundRobin(size=3), **CHOICES), [["a", "b"]])
    np.testing.assert_allclose(trained["weights"][0], train_alone(make_job, ["a", "b"], {}), atol=1e-5)


def test_all_coalitions_share_their_compilations(make_job, monkeypatch):
    runs = []

    class Watched(in_process.InProcess):
        def __init__(self, parts):
            super().__init__(parts)
            runs.append(self)

    monkeypatch.setattr(in_process, "InProcess", Watched)
    everyone = list(SILOS)
    coalitions = [[silo for bit, silo in enumerate(everyone) if number >> bit & 1] for number in range(16)]
    train_coalitions(make_job(SILOS, rounds=1, **CHOICES), coalitions)
    (run,) = runs
    # Groups of one or up to four silos, with few or many steps.
    assert run.compilations <= 4


def test_a_coalition_whose_updates_are_not_finite_stays_where_it_is(make_job):
    directory = make_job(SILOS, **CHOICES)
    x = np.load(directory.data / "train" / "x.npy")
    x[40] = np.inf
    np.save(directory.data / "train" / "x.npy", x)
    _, _, trained = train_coalitions(directory, [[], ["b"], ["a"], ["a", "b"]])
    nobody, b, a, both = trained["weights"]
    np.testing.assert_array_equal(b, nobody)
    np.testing.assert_array_equal(both, a)


def test_a_users_own_process_is_refused(make_job):
    with pytest.raises(job_lib.JobError, match="learning_process_fn, which is not run for coalitions"):
        train_coalitions(make_job(SILOS, module=OWN_PROCESS, **CHOICES))
