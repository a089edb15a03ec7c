import json

import numpy as np
import pytest

from benchmarks.free_riders import __main__ as command
from benchmarks.free_riders import behaviours, contenders, contribution, detection, populations
from tfx_federated.contribution_evaluator import methods


def _trial(found, planted, honest, rows):
    judgement = contenders.Judgement(np.array(found, float), np.array(found, bool))
    return detection.Trial(np.array(rows), np.array(planted, bool), np.array(honest, bool), {"ours": judgement})


def test_quality_leaves_out_silos_that_are_neither_right_nor_wrong():
    # Found: one planted, one honest, one involved; not found: one planted, two honest.
    trial = _trial([1, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 1, 1], [100] * 6)
    quality = detection.quality([trial, trial], "ours")
    assert quality["precision"] == quality["recall"] == 0.5
    # Of 2 x 3 pairs: planted and found above two honest ones and level with one; planted and missed level with two.
    assert quality["auc"] == quality["least_auc"] == pytest.approx((2 + 0.5 + 2 * 0.5) / 6)


def test_false_positives_are_counted_by_size():
    trial = _trial([1, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 1], [20, 30, 40, 300])
    rates = detection.false_positives([trial], "ours")
    assert rates["below 50 rows"] == {"rate": 0.5, "silos": 2}
    assert rates["50 to 199 rows"] == {"rate": None, "silos": 0}
    assert rates["200 rows and more"] == {"rate": 0.0, "silos": 1}


def test_planted_silos_have_rows_but_not_most_of_them():
    trial = detection.run(populations.taxi(), behaviours.zeros, seed=100)
    assert trial.rows[trial.is_planted].min() >= detection.FEWEST_PLANTED_ROWS
    assert trial.rows[trial.is_planted].sum() <= detection.LARGEST_PLANTED_WEIGHT * trial.rows.sum()
    assert trial.auc("ours") == trial.auc("norm_threshold") == 1.0


def test_the_command_writes_what_it_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        behaviours, "BEHAVIOURS", {name: behaviours.BEHAVIOURS[name] for name in ("zeros", "too_few_rows")}
    )
    monkeypatch.setattr(command.contribution, "SILOS", 3)
    monkeypatch.setattr(command, "LARGE", [(4, 2, methods.GtgShapley())])
    output = tmp_path / "free_riders.json"
    monkeypatch.setattr("sys.argv", ["free_riders", "--data", "taxi", "--seeds", "1", "--output", str(output)])

    assert command.main() == 0

    written = json.loads(output.read_text())
    assert written["detection_auc"].keys() == {"zeros", "too_few_rows"}
    assert written["detection_auc"]["zeros"] == 1.0
    assert set(written["false_positive_rate"]) == set(detection.SIZE_CLASSES)
    goals = [goal["goal"] for goal in written["goals"]]
    assert (goals[0], len(goals)) == ("AUC of zeros, at least 0.95", 4)
    shapley = written["shapley"]
    assert (shapley["silos"], shapley["seeds"], shapley["method"]) == (3, [60], "LocalModelsShapley")
    assert set(shapley["by_method"]) == set(contribution.METHODS)
    assert 0 < shapley["cost_share"] == shapley["by_method"]["LocalModelsShapley"]["cost_share"]
    assert -1 <= shapley["spearman"] <= 1
    (large,) = shapley["large"]
    assert (large["silos"], large["rounds"], large["method"]) == (4, 2, "GtgShapley")
    assert "zeros" in capsys.readouterr().out
