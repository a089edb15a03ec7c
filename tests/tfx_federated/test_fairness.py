import dataclasses

import pytest

from tfx_federated import fairness
from tfx_federated.fairness_evaluator import report

from .fairness_evaluator.report_content import content


@pytest.fixture
def loaded(tmp_path):
    report.write(str(tmp_path), content(40))
    return fairness.load_report(str(tmp_path))


def test_a_report_is_tables(loaded):
    assert loaded.content == content(40)
    assert loaded.silos.value.tolist() == [silo["value"] for silo in loaded.content["silos"]]
    assert loaded.silos.lower.isna().sum() == sum(silo["lower"] is None for silo in loaded.content["silos"]) > 0
    assert loaded.rules.verdict.tolist() == ["passed", "failed", "undecided"]
    assert loaded.comparisons.loc["baseline", "helped"] == loaded.content["comparisons"][0]["helped"]
    assert loaded.comparisons.loc["baseline", "mean_gain_upper"] == 0.02
    assert loaded.across_silos.loc["gini_of_error", "observed"] == 0.09
    assert loaded.across_silos.loc["size_correlation"].isna().all()
    assert "not blessed, auc of 40 silos" in repr(loaded)


def test_a_report_is_figures(loaded):
    drawn = [
        loaded.metric_by_size(),
        loaded.distribution(),
        loaded.benefit(),
        loaded.benefit("local_models"),
        loaded.calibration(),
        loaded.groups(),
    ]
    assert len({figure.layout.meta["description"] for figure in drawn}) == len(drawn)


def test_a_report_without_rules_or_models_has_empty_tables(tmp_path):
    values = {**content(3, models=()), "rules": []}
    values["across_silos"] = {"silos": 0, "statistics": {}}
    report.write(str(tmp_path), values)
    loaded = fairness.load_report(str(tmp_path))
    assert (len(loaded.rules), len(loaded.comparisons), len(loaded.across_silos)) == (0, 0, 0)
    assert "verdict" in loaded.rules.columns
    assert "helped" in loaded.comparisons.columns
    assert "observed" in loaded.across_silos.columns


def test_a_report_is_not_to_be_changed(loaded):
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.content = {}


def test_a_missing_report_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}/nowhere is missing or broken .*run FairnessEvaluator again"):
        fairness.load_report(f"{tmp_path}/nowhere")
