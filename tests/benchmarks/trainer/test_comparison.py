"""Runs contenders, so it needs `.environments/tff`."""

import json

import pytest

from benchmarks.trainer import comparison, report
from benchmarks.trainer.contenders import CONTENDERS


@pytest.fixture
def compared(tmp_path):
    if not comparison.interpreter(CONTENDERS["floor"]).exists():
        pytest.skip("no .environments/tff: make setup builds it")
    return comparison.Comparison("logistic_100", tmp_path / "logistic_100")


def test_contenders_that_train_the_same_are_compared(compared):
    compared.run(["numpy", "floor"], repeats=2, report=print)

    summary = comparison.summary(compared)
    assert summary["errors"] == {}
    assert summary["contenders"]["floor"]["ratio_to_floor"] == 1
    for name in ("numpy", "floor"):
        fields = summary["contenders"][name]
        assert (fields["rounds"], fields["repeats"]) == (20, 2)
        for run, steady in zip(fields["runs"], fields["steady_seconds_of_repeats"], strict=True):
            assert min(run["seconds"][1:]) <= steady <= max(run["seconds"][1:])
            assert sum(run["seconds"]) < run["wall_seconds"]
        assert name in report.workload_table("logistic_100", summary)


def test_a_contender_that_trains_something_else_gets_no_row(compared, tmp_path):
    settings = tmp_path / "logistic_100/workload/workload.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "learning_rate": 0.2}))

    compared.run(["numpy"], repeats=2, report=print)

    summary = comparison.summary(compared)
    assert summary["contenders"] == {}
    assert "not the same training" in summary["errors"]["numpy"]
    assert "not the same training" in report.workload_table("logistic_100", summary)


def test_a_contender_that_fails_is_named_with_its_log(compared, tmp_path):
    (tmp_path / "logistic_100/workload/labels.npy").unlink()

    compared.run(["numpy"], repeats=1, report=print)

    assert "exit code 1" in compared.errors["numpy"]
    assert "labels.npy" in (tmp_path / "logistic_100/numpy.log").read_text()
