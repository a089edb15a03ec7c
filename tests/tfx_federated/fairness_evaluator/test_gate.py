import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_federated.fairness_evaluator import gate
from tfx_federated.fairness_evaluator.silo_table import SiloTable, SliceMetrics


def silo(name, rows, value):
    return SliceMetrics(name, rows, None, value, None, None)


def table(*silos, overall=0.8):
    return SiloTable(silo("", sum(one.rows for one in silos), overall), silos)


def test_overall_at_the_bound_passes_and_below_fails():
    assert gate.judge_overall(table(overall=0.7), "auc", 0.7).passed
    rule = gate.judge_overall(table(overall=0.69999), "auc", 0.7)
    assert (rule.value, rule.bound, rule.passed) == (0.69999, 0.7, False)
    assert "0.69999, below 0.70000" in rule.reason


def test_an_undefined_overall_metric_fails():
    rule = gate.judge_overall(table(overall=None), "auc", 0.0)
    assert rule.value is None
    assert not rule.passed
    assert "undefined" in rule.reason


def test_the_worst_silo_is_the_lowest_with_enough_rows_and_a_defined_metric():
    silos = table(silo("small", 49, 0.1), silo("a", 50, 0.61), silo("b", 5000, 0.9), silo("undefined", 90, None))
    rule = gate.judge_worst_silo(silos, "auc", 0.6, 50)
    assert (rule.value, rule.passed) == (0.61, True)
    assert "'a'" in rule.reason
    assert not gate.judge_worst_silo(silos, "auc", 0.62, 50).passed
    assert gate.worst_silo(silos.silos, 49).name == "small"


def test_no_silo_with_enough_rows_fails_even_the_lowest_bound():
    rule = gate.judge_worst_silo(table(silo("a", 49, 0.9), silo("b", 99, None)), "auc", 0.0, 50)
    assert not rule.passed
    assert rule.value is None
    assert "cannot be decided" in rule.reason


def test_thresholds_of_tfma_take_part():
    assert gate.judge_thresholds(True, []).passed
    rule = gate.judge_thresholds(False, ["auc on all rows"])
    assert not rule.passed
    assert "auc on all rows" in rule.reason


def test_blessed_needs_a_rule_and_all_of_them():
    passing = gate.judge_thresholds(True, [])
    failing = dataclasses.replace(passing, passed=False)
    assert gate.blessed([passing, passing])
    assert not gate.blessed([passing, failing])
    assert not gate.blessed([])


@given(
    st.lists(st.tuples(st.integers(1, 100), st.none() | st.floats(0, 1)), max_size=8),
    st.floats(0, 1),
    st.integers(1, 100),
)
def test_the_rule_passes_exactly_when_some_silo_counts_and_all_that_count_reach_the_bound(silos, bound, minimum_rows):
    counted = [value for rows, value in silos if rows >= minimum_rows and value is not None]
    rows = table(*[silo(str(number), *row) for number, row in enumerate(silos)])
    expected = bool(counted) and all(value >= bound for value in counted)
    assert gate.judge_worst_silo(rows, "auc", bound, minimum_rows).passed == expected


@pytest.mark.parametrize("value", [0.7 - 1e-9, 0.7 + 1e-9])
def test_the_reason_shows_enough_digits_to_see_the_difference(value):
    reason = gate.judge_overall(table(overall=value), "auc", 0.7).reason
    left, right = reason.replace(",", "").split(" is ")[1].split(" at or above " if value > 0.7 else " below ")
    assert left != right
