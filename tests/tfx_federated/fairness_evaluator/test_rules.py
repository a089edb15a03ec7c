import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_federated.fairness_evaluator import rules

OUTCOMES = st.sampled_from(["fail", "pass"])
COMPARED = st.sampled_from(["baseline", "local_models", "silo_models"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000)
SHARES = st.floats(0, 1)

BOUNDED = st.builds(rules.Overall, NUMBERS, OUTCOMES)
BOUNDED |= st.builds(rules.WorstSilo, NUMBERS, OUTCOMES)
BOUNDED |= st.builds(rules.WorstDecile, NUMBERS, OUTCOMES)
GAPS = st.builds(rules.LargestGap, st.floats(0, 1e9), OUTCOMES)
RULES = st.one_of(
    BOUNDED,
    GAPS,
    st.builds(rules.ParityGap, st.sampled_from(["true_positive_rate", "positive_rate"]), SHARES, OUTCOMES),
    st.builds(rules.Change, BOUNDED | GAPS),
    st.builds(rules.ConfidenceBound, BOUNDED),
    st.builds(
        rules.ShareSignificantlyHurt, SHARES, COMPARED, st.floats(0, 1, exclude_min=True, exclude_max=True), OUTCOMES
    ),
    st.builds(
        rules.NoSiloWorse,
        st.floats(0, 1e9),
        COMPARED,
        st.lists(st.text(), max_size=3).map(tuple),
        st.floats(0.5, 1, exclude_min=True, exclude_max=True),
        OUTCOMES,
    ),
)


@given(st.lists(RULES, max_size=4))
def test_every_rule_survives_json(given_rules):
    assert rules.decode(rules.encode(given_rules)) == tuple(given_rules)


def test_every_rule_of_the_module_can_be_read():
    classes = {value for value in vars(rules).values() if isinstance(value, type) and dataclasses.is_dataclass(value)}
    assert set(rules.ALTERNATIVES) == classes


def test_json_is_as_a_person_writes_it():
    text = '[{"type": "Change", "rule": {"type": "WorstSilo", "bound": -0.01, "when_undecided": "pass"}}]'
    change = rules.Change(rules.WorstSilo(bound=-0.01, when_undecided="pass"))
    assert rules.decode(text) == (change,)
    assert json.loads(rules.encode([change])) == json.loads(text)


def test_what_cannot_be_decided_fails_unless_declared_otherwise():
    decoded = rules.decode(
        '[{"type": "Overall", "bound": 0.7}, {"type": "NoSiloWorse", "margin": 0},'
        ' {"type": "Change", "rule": {"type": "LargestGap", "maximum": 0}}]'
    )
    assert [rule.when_undecided for rule in decoded] == ["fail"] * 3
    assert rules.ConfidenceBound(rules.WorstDecile(0.6, when_undecided="pass")).when_undecided == "pass"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.Overall(float("nan")), "Overall: bound is nan; it must be a finite number"),
        (lambda: rules.WorstSilo("0.6"), "WorstSilo: bound is '0.6'; it must be a finite number"),
        (lambda: rules.WorstDecile(True), "WorstDecile: bound is True; it must be a finite number"),
        (lambda: rules.WorstDecile(None), "WorstDecile: bound is None; it must be a finite number"),
        (lambda: rules.Overall(0.5, "skip"), "Overall: when_undecided is 'skip'; it must be 'fail' or 'pass'"),
        (lambda: rules.LargestGap(-0.1), "LargestGap: maximum is -0.1; it must be a finite number, at least 0"),
        (
            lambda: rules.ParityGap("positive_rate", 1.5),
            "ParityGap: maximum is 1.5; it must be a finite number, at least 0, at most 1",
        ),
        (
            lambda: rules.ParityGap("recall", 0.1),
            "ParityGap: rate is 'recall'; it must be 'true_positive_rate' or 'positive_rate'",
        ),
        (
            lambda: rules.Change(rules.NoSiloWorse(0.1)),
            r"Change: rule is NoSiloWorse\(.*it must be one of Overall, WorstSilo, WorstDecile, LargestGap",
        ),
        (
            lambda: rules.ConfidenceBound(rules.LargestGap(0.1)),
            r"ConfidenceBound: rule is LargestGap\(.*it must be one of Overall, WorstSilo, WorstDecile",
        ),
        (lambda: rules.ShareSignificantlyHurt(2), "ShareSignificantlyHurt: maximum is 2; .* at most 1"),
        (
            lambda: rules.ShareSignificantlyHurt(0.1, "candidate"),
            "compared is 'candidate'; it must be 'baseline' or 'local_models' or 'silo_models'",
        ),
        (
            lambda: rules.ShareSignificantlyHurt(0.1, false_discovery_rate=0),
            "false_discovery_rate is 0; it must be between 0 and 1",
        ),
        (lambda: rules.NoSiloWorse(-0.1), "NoSiloWorse: margin is -0.1; it must be a finite number, at least 0"),
        (lambda: rules.NoSiloWorse(0.1, silos="UA"), r"NoSiloWorse: silos is 'UA'; it must be a tuple of names"),
        (lambda: rules.NoSiloWorse(0.1, silos=(7,)), r"NoSiloWorse: silos is \(7,\); it must be a tuple of names"),
        (lambda: rules.NoSiloWorse(0.1, confidence=0.5), "confidence is 0.5; it must be between 0.5 and 1"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("WorstSilo", "rules is no JSON"),
        ('{"type": "WorstSilo", "bound": 0.6}', "expected a JSON list of objects"),
        ('["WorstSilo"]', "expected a JSON list of objects"),
        (
            '[{"type": "Overall", "bound": 0.7}, {"type": "Worst", "bound": 1}]',
            r"rules\[1\]: \"type\" is 'Worst'; it must be one of Overall, WorstSilo",
        ),
        ('[{"type": "WorstSilo", "minimum": 0.6}]', r"rules\[0\]: WorstSilo has no minimum; it has bound"),
        ('[{"type": "WorstSilo"}]', r"rules\[0\]: WorstSilo cannot be made of .*bound"),
        ('[{"type": "WorstSilo", "bound": NaN}]', "WorstSilo: bound is nan; it must be a finite number"),
        ('[{"type": "Change", "rule": {"type": "Worst"}}]', r"rules\[0\].rule: \"type\" is 'Worst'; it must be"),
        ('[{"type": "NoSiloWorse", "margin": 0.1, "silos": "UA"}]', r"silos is 'UA'; it must be of type tuple"),
    ],
)
def test_json_that_is_no_rule_is_refused_with_its_place(text, message):
    with pytest.raises(ValueError, match=message):
        rules.decode(text)


def test_what_is_no_rule_is_not_encoded():
    with pytest.raises(ValueError, match=r"rules\[1\] is 0.6; it must be one of Overall, WorstSilo"):
        rules.encode([rules.Overall(0.7), 0.6])


def test_a_pipeline_definition_reads_the_rules_without_numpy():
    code = "import sys; from tfx_federated.fairness_evaluator import rules; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
