import re
import subprocess
import sys

import pytest

from tff_runtime import silo_weights
from tff_runtime.privacy import compatibility
from tff_runtime.settings import aggregations, algorithms, cohorts, ledgers, personalizations, privacy, stopping

RECORD_LEVEL = privacy.RecordLevel(1.0, 1e-5)
SILO_LEVEL = privacy.SiloLevel(1.0, 1e-5)


def refusals(level, **changes):
    choices = {
        "privacy": level,
        "algorithm": algorithms.FedAvg(),
        "aggregation": aggregations.Mean(),
        "personalization": personalizations.NoPersonalization(),
        "cohort": cohorts.AllSilos(),
        "stop": stopping.LastRound(),
        "ledger": ledgers.SummaryLedger(),
        "silo_weighting": silo_weights.UNIFORM,
        "maximum_silo_share": 1.0,
        "local_models": False,
        "train_split": "train",
        "evaluation_split": None,
    }
    return compatibility.refusals(**{**choices, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"algorithm": algorithms.FedSGD()}, "RecordLevel with FedSGD: .* FedAvg with one local epoch"),
        ({"algorithm": algorithms.MimeLite()}, "full gradients"),
        ({"algorithm": algorithms.QFedAvg(1.0)}, "losses on their training rows"),
        ({"algorithm": algorithms.AgnosticFederated(0.1)}, "losses on their training rows"),
        ({"algorithm": algorithms.TiltedFederated(1.0)}, "losses on their training rows"),
        ({"personalization": personalizations.FineTuning()}, "FineTuning: .* second training"),
        ({"personalization": personalizations.Ditto(1.0)}, "Ditto: .* second training"),
        ({"local_models": True}, "local_models: .* second training"),
        ({"evaluation_split": "train"}, "evaluation on 'train': metrics of the training rows"),
    ],
)
def test_what_releases_more_of_the_rows_than_private_gradients_is_refused(changes, reason):
    (refusal,) = refusals(RECORD_LEVEL, **changes)
    assert re.search(reason, refusal)


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": algorithms.FedProx(0.1)},
        {"algorithm": algorithms.Scaffold()},
        {"aggregation": aggregations.Clipping(aggregations.Median())},
        {"aggregation": aggregations.MultiKrum(1)},
        {"personalization": personalizations.MeanRegularized(0.1)},
        {"personalization": personalizations.LocalLayers(("head",))},
        {"cohort": cohorts.SampleBySize(3)},
        {"silo_weighting": silo_weights.EXAMPLES, "maximum_silo_share": 0.2},
        {"evaluation_split": "eval", "stop": stopping.BestRound()},
        {"ledger": ledgers.DetailedLedger()},
    ],
)
def test_what_follows_from_private_gradients_alone_passes(changes):
    assert refusals(RECORD_LEVEL, **changes) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"algorithm": algorithms.Scaffold()}, "control variates"),
        ({"algorithm": algorithms.MimeLite()}, "full gradients"),
        ({"algorithm": algorithms.QFedAvg(1.0)}, "losses"),
        ({"algorithm": algorithms.AgnosticFederated(0.1)}, "losses"),
        ({"algorithm": algorithms.TiltedFederated(1.0)}, "losses"),
        ({"aggregation": aggregations.Median()}, "Median: the noise is calibrated to a sum"),
        ({"aggregation": aggregations.Clipping()}, "without noise"),
        ({"silo_weighting": silo_weights.EXAMPLES}, "Choose uniform"),
        ({"maximum_silo_share": 0.5}, "the cap follows"),
        ({"personalization": personalizations.MeanRegularized(0.1)}, "a model of one silo is exported"),
        ({"personalization": personalizations.LocalLayers(("head",))}, "a model of one silo is exported"),
        ({"local_models": True}, "a model of one silo is exported"),
        ({"cohort": cohorts.SampleBySize(3)}, "Choose UniformSample or RoundRobin"),
        ({"stop": stopping.BestRound()}, "Choose LastRound"),
        ({"evaluation_split": "eval"}, "metrics of each silo"),
        ({"ledger": ledgers.DetailedLedger()}, "the updates of single silos, which have no noise"),
    ],
)
def test_what_releases_more_of_a_silo_than_the_noised_sum_is_refused(changes, reason):
    (refusal,) = refusals(SILO_LEVEL, **changes)
    assert reason in refusal
    assert refusal.startswith("SiloLevel with ")


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": algorithms.FedProx(0.1)},
        {"algorithm": algorithms.FedSGD()},
        {"cohort": cohorts.UniformSample(3)},
        {"cohort": cohorts.RoundRobin(3)},
    ],
)
def test_what_follows_from_the_noised_sum_alone_passes(changes):
    assert refusals(SILO_LEVEL, **changes) == []


def test_without_privacy_everything_passes():
    assert refusals(privacy.NoPrivacy(), algorithm=algorithms.QFedAvg(1.0), local_models=True) == []


def test_all_reasons_are_given_at_once():
    with pytest.raises(ValueError, match=r"(?s)void:\n- SiloLevel with Scaffold.*\n- SiloLevel with local_models"):
        compatibility.refuse(
            privacy=SILO_LEVEL,
            algorithm=algorithms.Scaffold(),
            aggregation=aggregations.Mean(),
            personalization=personalizations.NoPersonalization(),
            cohort=cohorts.AllSilos(),
            stop=stopping.LastRound(),
            ledger=ledgers.SummaryLedger(),
            silo_weighting=silo_weights.UNIFORM,
            maximum_silo_share=1.0,
            local_models=True,
            train_split="train",
            evaluation_split=None,
        )


def test_the_standard_library_is_enough():
    script = "import sys, tff_runtime.privacy.compatibility; print({'numpy', 'tensorflow', 'scipy'} & set(sys.modules))"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
