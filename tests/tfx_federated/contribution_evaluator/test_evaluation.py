import dataclasses
import math

import numpy as np
import pytest

from tests.tfx_federated.contribution_evaluator import small_evaluation
from tests.tfx_federated.contribution_evaluator.small_run import Federation, write
from tfx_federated.contribution_evaluator import (
    content,
    evaluation,
    federated_run,
    gate,
    methods,
    model_function,
    rules,
    utilities,
)


@pytest.fixture(scope="module")
def found(ledger, function):
    return small_evaluation.evaluate(ledger, function)


def described(found, *asked):
    values = content.of_evaluation(found, gate.judge(found, asked))
    return values, {silo["name"]: silo for silo in values["silos"]}


def evaluated(folder, federation, **changes):
    ledger = federated_run.read(write(folder / "run", federation))
    return small_evaluation.evaluate(ledger, model_function.ModelFunction(ledger.model_path), **changes)


def test_every_silo_has_what_it_gave_and_got(found):
    values, silos = described(found)
    assert set(silos) == set(small_evaluation.ROWS) | {"stranger"}
    shared_out = sum(silo["contribution"]["value"] for silo in silos.values() if silo["contribution"])
    assert shared_out == pytest.approx(values["contribution"]["gained"], abs=1e-4)
    ranks = {name: silo["contribution"]["rank"] for name, silo in silos.items() if silo["contribution"]}
    assert sorted(ranks.values()) == [1, 2, 3, 4, 5]
    assert ranks["large"] == 1
    shares = [silo["contribution"]["share"] or 0 for silo in silos.values() if silo["contribution"]]
    assert sum(shares) == pytest.approx(1)
    large = silos["large"]
    assert large["gains"]["federated"]["verdict"] == "significantly helped"
    assert large["gains"]["federated"]["gain"] == pytest.approx(
        large["values"]["federated"] - large["values"]["local"], abs=1e-9
    )
    assert (large["rows"], large["held_out_rows"], large["rounds"]) == (300, 400, 4)


def test_a_silo_without_updates_of_its_own_is_found_and_a_rule_fails(found):
    values, silos = described(found, rules.NoFindings())
    assert silos["idle"]["findings"] == ["no_update"]
    (finding,) = [finding for finding in values["findings"] if finding["silo"] == "idle"]
    assert finding["kind"] == "free_riding"
    assert not values["blessed"]
    assert "'idle'" in values["rules"][0]["reason"]


def test_a_late_silo_a_small_one_and_a_stranger_have_notes(found):
    _, silos = described(found)
    assert silos["late"]["notes"] == [
        "took part in 3 of 4 rounds, from round 2 to 4: its contribution is over these rounds"
    ]
    assert silos["stranger"]["notes"] == ["was not in the training: nothing can be said of its contribution"]
    assert silos["stranger"]["contribution"] is None
    assert silos["small"]["gains"]["federated"]["verdict"] == "too few rows"
    assert silos["large"]["notes"] == []


def test_without_rules_nothing_is_blessed_and_with_those_that_hold_it_is(found):
    assert not described(found)[0]["blessed"]
    held = [rules.LargestContribution(1.0), rules.ShareSignificantlyHurt(0.0), rules.NoFindings(kinds=("harm",))]
    values, _ = described(found, *held)
    assert [rule["passed"] for rule in values["rules"]] == [True] * 3
    assert values["blessed"]
    strict, _ = described(found, rules.LargestContribution(0.01))
    assert (strict["blessed"], strict["rules"][0]["observed"] > 0.01) == (False, True)
    assert "'large'" in strict["rules"][0]["reason"]


def test_what_cannot_be_judged_goes_by_what_the_rule_says(found):
    bare = dataclasses.replace(found, contribution=None, comparisons=[], detection=None)
    for outcome in ("pass", "fail"):
        asked = [
            rules.NoFindings(when_undecided=outcome),
            rules.LargestContribution(0.5, when_undecided=outcome),
            rules.ShareSignificantlyHurt(0.5, when_undecided=outcome),
        ]
        for judgement in gate.judge(bare, asked):
            assert judgement.passed == (outcome == "pass")
            assert (judgement.observed, judgement.reason[-26:]) == (None, "as its when_undecided says")


def test_an_undefined_metric_leaves_the_rest_of_the_table(ledger, function):
    found = small_evaluation.evaluate(ledger, function, rows=small_evaluation.held_out(labels=1))
    values, silos = described(found)
    assert values["contribution"] is None
    assert any("undefined on the held-out rows" in missing["reason"] for missing in values["not_computed"])
    assert silos["idle"]["findings"] == ["no_update"]
    assert silos["large"]["values"]["federated"] is None
    assert silos["large"]["notes"] == ["auc is undefined on its held-out rows, which are of one class"]


def test_of_a_summary_ledger_the_cosines_tell_and_the_rest_is_said_to_be_missing(tmp_path, federation):
    uri = write(tmp_path / "run", federation)
    for file in (tmp_path / "run" / "updates").iterdir():
        file.unlink()
    ledger = federated_run.read(uri)
    found = small_evaluation.evaluate(
        ledger, model_function.ModelFunction(ledger.model_path), method=methods.DEFAULT, own={}
    )
    values, silos = described(found)
    assert values["contribution"]["method"]["type"] == "GradientCosine"
    assert any("train with ledger=DetailedLedger()" in missing["reason"] for missing in values["not_computed"])
    assert silos["large"]["contribution"]["value"] > silos["small"]["contribution"]["value"]


def test_under_silo_level_privacy_benefits_remain(tmp_path, federation):
    privacy = {"type": "SiloLevel", "epsilon": 1.0}
    uri = write(tmp_path / "run", federation, privacy=privacy)
    (tmp_path / "run" / "silo_updates.jsonl").write_text("")
    for file in (tmp_path / "run" / "updates").iterdir():
        file.unlink()
    ledger = federated_run.read(uri)
    found = small_evaluation.evaluate(ledger, model_function.ModelFunction(ledger.model_path), method=methods.DEFAULT)
    values, silos = described(found)
    assert values["privacy"] == "SiloLevel"
    assert (values["contribution"], values["findings"]) == (None, [])
    assert {missing["what"] for missing in values["not_computed"]} >= {"free riders and damage"}
    assert silos["large"]["gains"]["federated"]["gain"] > 0
    assert silos["large"]["notes"] == []


def test_silo_examples_of_another_federation_are_refused(ledger, function):
    rows = small_evaluation.held_out({"x": 30, "y": 30})
    with pytest.raises(evaluation.ForeignRunError, match=r"such as 'x', is in the FederatedRun .* record of another"):
        small_evaluation.evaluate(ledger, function, rows=rows)


def test_one_silo_gets_all_of_the_gain(tmp_path):
    found = evaluated(tmp_path, Federation({"only": 50}), rows=small_evaluation.held_out({"only": 60}), own={})
    values, silos = described(found)
    assert silos["only"]["contribution"]["value"] == pytest.approx(values["contribution"]["gained"], abs=1e-4)
    assert silos["only"]["contribution"]["share"] == 1
    assert values["comparisons"] == []
    assert any("local_models=True" in missing["reason"] for missing in values["not_computed"])


def test_silos_with_equal_updates_have_equal_contributions(tmp_path):
    federation = Federation({"a": 40, "b": 40, "c": 40}, lies=dict.fromkeys("abc", lambda number, _: np.full(4, 0.1)))
    _, silos = described(evaluated(tmp_path, federation, rows=small_evaluation.held_out({"a": 60, "b": 60}), own={}))
    values = [silos[name]["contribution"]["value"] for name in "abc"]
    assert values == pytest.approx([values[0]] * 3, abs=1e-9)


def test_a_mean_over_silos_is_a_utility_too(ledger, function):
    found = small_evaluation.evaluate(ledger, function, utility=utilities.MeanOverSilos("negative_log_loss"))
    values, silos = described(found)
    assert values["utility"] == {"type": "MeanOverSilos", "metric": "negative_log_loss"}
    assert silos["large"]["values"]["federated"] < 0
    assert math.isfinite(values["contribution"]["gained"])


def test_a_missing_round_is_named(tmp_path, federation):
    uri = write(tmp_path / "run", federation)
    for name in ("rounds.jsonl", "silo_updates.jsonl"):
        file = tmp_path / "run" / name
        kept = [line for line in file.read_text().splitlines() if '"round": 2' not in line]
        file.write_text("\n".join(kept) + "\n")
    ledger = federated_run.read(uri)
    found = small_evaluation.evaluate(ledger, model_function.ModelFunction(ledger.model_path))
    values, _ = described(found)
    assert values["rounds"] == {"recorded": 3, "missing": [2], "with_updates": 3, "omitted": [2]}
