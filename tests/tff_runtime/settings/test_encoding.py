import dataclasses
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from tff_runtime import job as job_lib
from tff_runtime.settings import (
    aggregations,
    algorithms,
    cohorts,
    encoding,
    executions,
    ledgers,
    personalizations,
    privacy,
    schedules,
    stopping,
)

positive = st.floats(min_value=1e-6, max_value=1e6)
counts = st.integers(1, 1000)
within = st.floats(0, 1, exclude_min=True, exclude_max=True)
names = st.text(min_size=1, max_size=8)
plain = st.one_of(
    *(st.builds(one) for one in (aggregations.Mean, aggregations.Median, aggregations.GeometricMedian)),
    st.builds(aggregations.TrimmedMean, st.floats(0, 0.49)),
    st.builds(aggregations.MultiKrum, st.integers(0, 9), st.none() | counts),
)
clipping = st.builds(aggregations.Clipping, plain, within, positive, st.floats(0, 9))
SETTINGS = {
    algorithms.FedAvg: {},
    algorithms.FedProx: {"strength": positive},
    algorithms.FedSGD: {},
    algorithms.Scaffold: {},
    algorithms.MimeLite: {"momentum": st.floats(0, 0.99)},
    algorithms.QFedAvg: {"q": st.floats(0, 15)},
    algorithms.AgnosticFederated: {"mixture_learning_rate": positive},
    algorithms.TiltedFederated: {"tilt": positive},
    aggregations.Mean: {},
    aggregations.Median: {},
    aggregations.TrimmedMean: {"fraction": st.floats(0, 0.49)},
    aggregations.GeometricMedian: {"iterations": counts, "smoothing": positive},
    aggregations.MultiKrum: {"byzantine": st.integers(0, 9), "selected": st.none() | counts},
    aggregations.Clipping: {
        "inner": plain,
        "quantile": within,
        "initial_norm": positive,
        "learning_rate": st.floats(0, 9),
    },
    aggregations.Zeroing: {
        "inner": plain | clipping,
        "quantile": within,
        "multiplier": st.floats(1, 9),
        "initial_threshold": positive,
        "learning_rate": positive,
    },
    privacy.NoPrivacy: {},
    privacy.RecordLevel: {
        "epsilon": positive,
        "delta": within,
        "clip_norm": positive,
        # A silo may be called like a setting, or like the key of a setting's type.
        "epsilon_of_silo": st.dictionaries(names | st.sampled_from(["type", "RecordLevel"]), positive, max_size=3),
    },
    privacy.SiloLevel: {
        "epsilon": positive,
        "delta": within,
        "clip_norm": positive,
        "adaptive_quantile": st.none() | within,
    },
    personalizations.NoPersonalization: {},
    personalizations.FineTuning: {"epochs": counts, "learning_rate": positive},
    personalizations.Ditto: {"strength": positive},
    personalizations.LocalLayers: {"layers": st.lists(names, min_size=1, max_size=3).map(tuple)},
    personalizations.MeanRegularized: {"strength": positive},
    cohorts.AllSilos: {},
    cohorts.UniformSample: {"size": counts},
    cohorts.SampleBySize: {"size": counts},
    cohorts.RoundRobin: {"size": counts},
    schedules.Constant: {},
    schedules.ExponentialDecay: {"factor_per_round": st.floats(0.01, 1)},
    schedules.CosineDecay: {"rounds": st.integers(2, 99), "final_factor": st.floats(0, 1)},
    schedules.LinearWarmup: {"rounds": counts},
    stopping.LastRound: {},
    stopping.BestRound: {
        "metric": names,
        "of": st.sampled_from(["overall", "silos", "worst_silo"]),
        "higher_is_better": st.booleans(),
        "patience": st.none() | counts,
    },
    executions.InProcess: {"threads": st.none() | counts},
    executions.Native: {},
    executions.Remote: {
        "workers": st.lists(st.just("worker:8000"), min_size=1, max_size=3).map(tuple),
        "start_deadline_seconds": positive,
        "round_deadline_seconds": positive,
        "minimum_silos": counts,
        "worker_of_silo": st.dictionaries(names | st.just("type"), st.just(0), max_size=3),
    },
    ledgers.SummaryLedger: {},
    ledgers.DetailedLedger: {"maximum_bytes": counts},
}
CASES = [
    (choice, alternative)
    for choice, (alternatives, _) in job_lib.CHOICES.items()
    # Both schedules have the same alternatives.
    for alternative in alternatives
]
every_setting = pytest.mark.parametrize(
    ("choice", "alternative"), CASES, ids=lambda value: getattr(value, "__name__", value)
)


def decode(values, choice):
    return encoding.decode(values, job_lib.CHOICES[choice][0], choice)


@every_setting
@hypothesis.settings(max_examples=20)
@hypothesis.given(data=st.data())
def test_a_setting_comes_back_from_json_as_it_was(choice, alternative, data):
    fields = SETTINGS[alternative]
    assert set(fields) == {field.name for field in dataclasses.fields(alternative)}
    setting = data.draw(st.builds(alternative, **fields))
    encoded = encoding.encode(setting)
    assert encoded["type"] == alternative.__name__
    assert decode(encoded, choice) == setting
    assert decode(json.dumps(encoded), choice) == setting


@every_setting
def test_only_fields_without_a_default_are_needed(choice, alternative):
    needed = [
        field.name
        for field in dataclasses.fields(alternative)
        if field.default is field.default_factory is dataclasses.MISSING
    ]
    given = {name: hypothesis.find(SETTINGS[alternative][name], lambda _: True) for name in needed}
    assert decode({"type": alternative.__name__, **given}, choice) == alternative(**given)
    for name in needed:
        rest = {key: value for key, value in given.items() if key != name}
        with pytest.raises(ValueError, match=f"^{choice}: {alternative.__name__} cannot be made of .*'{name}'"):
            decode({"type": alternative.__name__, **rest}, choice)


@every_setting
def test_an_unknown_field_is_named(choice, alternative):
    with pytest.raises(ValueError, match=rf"^{choice}: {alternative.__name__} has no colour, size_of; it has "):
        decode({"type": alternative.__name__, "size_of": 3, "colour": "red"}, choice)


@pytest.mark.parametrize("choice", job_lib.CHOICES)
@pytest.mark.parametrize("kind", [None, "Fancy", 3], ids=str)
def test_an_unknown_type_is_named_with_all_that_there_are(choice, kind):
    alternatives = [alternative.__name__ for alternative in job_lib.CHOICES[choice][0]]
    with pytest.raises(ValueError, match=rf'^{choice}: "type" is .*; it must be one of {", ".join(alternatives)}$'):
        decode({"type": kind}, choice)


@pytest.mark.parametrize("choice", job_lib.CHOICES)
def test_a_default_is_one_of_the_alternatives(choice):
    alternatives, default = job_lib.CHOICES[choice]
    assert decode(encoding.encode(default), choice) == default
    assert type(default) in alternatives


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("FedAvg", "^algorithm is no JSON: "),
        ('{"type": "FedAvg"', "^algorithm is no JSON: "),
        ('["FedAvg"]', "^algorithm is .*; expected a JSON object"),
        ("3", "^algorithm is '3'; expected a JSON object"),
    ],
)
def test_a_text_that_is_no_json_object_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        decode(values, "algorithm")


# Each value just outside of its range.
OUT_OF_RANGE = [
    ("algorithm", "FedProx", {"strength": 0}, "strength"),
    ("algorithm", "FedProx", {"strength": float("nan")}, "strength"),
    ("algorithm", "MimeLite", {"momentum": 1}, "momentum"),
    ("algorithm", "QFedAvg", {"q": -0.1}, "q"),
    ("algorithm", "AgnosticFederated", {"mixture_learning_rate": 0}, "mixture_learning_rate"),
    ("algorithm", "TiltedFederated", {"tilt": float("inf")}, "tilt"),
    ("aggregation", "TrimmedMean", {"fraction": 0.5}, "fraction"),
    ("aggregation", "GeometricMedian", {"iterations": 0}, "iterations"),
    ("aggregation", "GeometricMedian", {"smoothing": 0}, "smoothing"),
    ("aggregation", "MultiKrum", {"byzantine": -1}, "byzantine"),
    ("aggregation", "MultiKrum", {"byzantine": 1, "selected": 0}, "selected"),
    ("aggregation", "Clipping", {"quantile": 1}, "quantile"),
    ("aggregation", "Clipping", {"initial_norm": 0}, "initial_norm"),
    ("aggregation", "Clipping", {"learning_rate": -1}, "learning_rate"),
    ("aggregation", "Zeroing", {"quantile": 0}, "quantile"),
    ("aggregation", "Zeroing", {"multiplier": 0.9}, "multiplier"),
    ("aggregation", "Zeroing", {"initial_threshold": 0}, "initial_threshold"),
    ("aggregation", "Zeroing", {"learning_rate": 0}, "learning_rate"),
    ("privacy", "RecordLevel", {"epsilon": 0, "delta": 0.1}, "epsilon"),
    ("privacy", "RecordLevel", {"epsilon": 1, "delta": 1}, "delta"),
    ("privacy", "RecordLevel", {"epsilon": 1, "delta": 0.1, "clip_norm": 0}, "clip_norm"),
    ("privacy", "RecordLevel", {"epsilon": 1, "delta": 0.1, "epsilon_of_silo": {"a": 0}}, "epsilon_of_silo"),
    ("privacy", "SiloLevel", {"epsilon": -1, "delta": 0.1}, "epsilon"),
    ("privacy", "SiloLevel", {"epsilon": 1, "delta": 0}, "delta"),
    ("privacy", "SiloLevel", {"epsilon": 1, "delta": 0.1, "clip_norm": float("inf")}, "clip_norm"),
    ("privacy", "SiloLevel", {"epsilon": 1, "delta": 0.1, "adaptive_quantile": 1}, "adaptive_quantile"),
    ("personalization", "FineTuning", {"epochs": 0}, "epochs"),
    ("personalization", "FineTuning", {"learning_rate": 0}, "learning_rate"),
    ("personalization", "Ditto", {"strength": 0}, "strength"),
    ("personalization", "LocalLayers", {"layers": []}, "layers"),
    ("personalization", "MeanRegularized", {"strength": -1}, "strength"),
    ("cohort", "UniformSample", {"size": 0}, "size"),
    ("cohort", "SampleBySize", {"size": 0}, "size"),
    ("cohort", "RoundRobin", {"size": 0}, "size"),
    ("client_schedule", "ExponentialDecay", {"factor_per_round": 1.1}, "factor_per_round"),
    ("client_schedule", "CosineDecay", {"rounds": 1}, "rounds"),
    ("server_schedule", "CosineDecay", {"rounds": 2, "final_factor": 1.1}, "final_factor"),
    ("server_schedule", "LinearWarmup", {"rounds": 0}, "rounds"),
    ("stopping", "BestRound", {"of": "average"}, "of"),
    ("stopping", "BestRound", {"patience": 0}, "patience"),
    ("execution", "InProcess", {"threads": 0}, "threads"),
    ("execution", "Remote", {"workers": []}, "workers"),
    ("execution", "Remote", {"workers": ["no port"]}, "workers"),
    ("execution", "Remote", {"workers": ["a:1"], "start_deadline_seconds": 0}, "start_deadline_seconds"),
    ("execution", "Remote", {"workers": ["a:1"], "round_deadline_seconds": 0}, "round_deadline_seconds"),
    ("execution", "Remote", {"workers": ["a:1"], "minimum_silos": 0}, "minimum_silos"),
    ("execution", "Remote", {"workers": ["a:1"], "worker_of_silo": {"a": 1}}, "worker_of_silo"),
]


@pytest.mark.parametrize(("choice", "kind", "fields", "named"), OUT_OF_RANGE)
def test_a_field_out_of_its_range_is_named(choice, kind, fields, named):
    with pytest.raises(ValueError, match=rf"^{kind}: {named} is .*; it must be "):
        decode({"type": kind, **fields}, choice)


def test_a_field_inside_another_setting_is_named():
    median = {"type": "TrimmedMean", "fraction": 0.9}
    with pytest.raises(ValueError, match=r"^TrimmedMean: fraction is 0\.9"):
        decode({"type": "Zeroing", "inner": {"type": "Clipping", "inner": median}}, "aggregation")
    with pytest.raises(ValueError, match=r"^aggregation\.inner\.inner: Median has no fraction"):
        decode({"type": "Zeroing", "inner": {"type": "Clipping", "inner": {**median, "type": "Median"}}}, "aggregation")


def test_a_value_of_another_type_is_named():
    with pytest.raises(ValueError, match=r"^algorithm: FedProx.*strength.*'much'"):
        decode({"type": "FedProx", "strength": "much"}, "algorithm")


def test_an_unknown_type_inside_another_setting_is_named():
    with pytest.raises(ValueError, match=r"^aggregation.*inner.*'Medain'"):
        decode({"type": "Clipping", "inner": {"type": "Medain"}}, "aggregation")


def test_a_type_that_is_no_text_is_named():
    with pytest.raises(ValueError, match=r"^algorithm: \"type\" is \['FedAvg'\]"):
        decode({"type": ["FedAvg"]}, "algorithm")


@pytest.mark.parametrize(
    ("choice", "kind", "fields", "named"),
    [
        ("aggregation", "Clipping", {"inner": "Median"}, "inner"),
        ("aggregation", "Clipping", {"inner": {"type": "Clipping"}}, "inner"),
        ("aggregation", "MultiKrum", {"byzantine": 1.5}, "byzantine"),
        ("cohort", "UniformSample", {"size": 2.5}, "size"),
        ("execution", "InProcess", {"threads": 1.5}, "threads"),
        ("execution", "Remote", {"workers": ["a:1"], "worker_of_silo": ["a"]}, "worker_of_silo"),
        ("personalization", "FineTuning", {"epochs": 1.5}, "epochs"),
        ("personalization", "LocalLayers", {"layers": "head"}, "layers"),
        ("privacy", "RecordLevel", {"epsilon": 1, "delta": 0.1, "epsilon_of_silo": [1]}, "epsilon_of_silo"),
        ("stopping", "BestRound", {"metric": 3}, "metric"),
        ("stopping", "BestRound", {"higher_is_better": "false"}, "higher_is_better"),
    ],
)
def test_a_field_of_another_type_is_named(choice, kind, fields, named):
    with pytest.raises(ValueError, match=rf"^{choice}: {kind}.*{named}"):
        decode({"type": kind, **fields}, choice)
