import json
import subprocess
import sys
import textwrap

import pytest

from tff_runtime.privacy import accounting, budgets, ledger


def budget(epsilon=2.0, rounds=10, probability=0.5, steps=2):
    multiplier = accounting.noise_multiplier(epsilon, 1e-5, probability, steps, rounds)
    mechanism = accounting.RoundMechanism(probability, steps, multiplier)
    return budgets.SiloBudget("row", epsilon, 1e-5, mechanism, rounds)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "privacy_ledger.jsonl"


def test_the_planned_rounds_spend_the_budget_and_no_further_one_is_charged(path):
    book = ledger.PrivacyLedger(path, {"a": budget()})
    spent = [book.spent("a")]
    for round_number in range(1, 11):
        assert book.charge(round_number, ["a"]) == ["a"]
        spent.append(book.spent("a"))
    assert spent[0] == 0
    assert spent == sorted(spent)
    assert 0.97 * 2.0 < spent[-1] <= 2.0
    written = path.read_bytes()
    assert book.charge(11, ["a"]) == []
    assert path.read_bytes() == written
    assert book.result()["silos"]["a"]["out_of_budget"]


def test_a_silo_out_of_budget_is_left_out_and_the_others_go_on(path):
    book = ledger.PrivacyLedger(path, {"long": budget(rounds=3), "short": budget(rounds=1)})
    charged = [book.charge(round_number, ["long", "short"]) for round_number in range(1, 5)]
    assert charged == [["long", "short"], ["long"], ["long"], []]


def test_a_round_that_is_run_again_costs_twice(path):
    silos = {"a": budget(), "b": budget()}
    book = ledger.PrivacyLedger(path, silos)
    book.charge(1, ["a", "b"])
    book.charge(2, ["a", "b"])
    resumed = ledger.PrivacyLedger(path, silos)
    resumed.charge(2, ["a"])
    mechanism = silos["a"].mechanism
    assert resumed.spent("a") == accounting.epsilon_of_rounds({mechanism: 3}, 2.0, 1e-5)
    assert resumed.spent("b") == accounting.epsilon_of_rounds({mechanism: 2}, 2.0, 1e-5)
    assert resumed.result()["silos"]["a"]["rounds"] == 3


def test_what_was_charged_is_there_after_a_kill(path):
    script = """
        import os, pathlib, signal, sys
        from tff_runtime.privacy import accounting, budgets, ledger
        mechanism = accounting.RoundMechanism(1.0, 1, 5.0)
        budget = budgets.SiloBudget("row", 2.0, 1e-5, mechanism, 3)
        book = ledger.PrivacyLedger(pathlib.Path(sys.argv[1]), {"a": budget})
        book.charge(1, ["a"])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], env={"PYTHONPATH": ":".join(sys.path)}, check=False
    )
    mechanism = accounting.RoundMechanism(1.0, 1, 5.0)
    book = ledger.PrivacyLedger(path, {"a": budgets.SiloBudget("row", 2.0, 1e-5, mechanism, 3)})
    assert book.result()["silos"]["a"]["rounds"] == 1


def test_a_line_cut_off_by_a_kill_is_not_counted_and_does_not_spoil_the_next(path):
    silos = {"a": budget()}
    book = ledger.PrivacyLedger(path, silos)
    book.charge(1, ["a"])
    with path.open("ab") as file:
        file.write(b'{"round": 2, "al')
    for rounds in (1, 2):
        book = ledger.PrivacyLedger(path, silos)
        assert book.result()["silos"]["a"]["rounds"] == rounds
        book.charge(2, ["a"])
    assert ledger.PrivacyLedger(path, silos).result()["silos"]["a"]["rounds"] == 3


@pytest.mark.parametrize("line", ['{"round": 1, "all_bu', '{"round": 1, "only": ["nobody"]}', "[]"])
def test_a_damaged_ledger_is_refused_with_its_line(path, line):
    book = ledger.PrivacyLedger(path, {"a": budget()})
    with path.open("a") as file:
        file.write(line + "\n")
    book.charge(2, ["a"])
    with pytest.raises(ValueError, match=r"line 2, is damaged"):
        ledger.PrivacyLedger(path, {"a": budget()})


def test_rounds_with_other_noise_are_added_to_what_was_spent(path):
    first, second = budget(rounds=20), budget(rounds=10)
    ledger.PrivacyLedger(path, {"a": first}).charge(1, ["a"])
    book = ledger.PrivacyLedger(path, {"a": second, "new": second})
    book.charge(2, ["a", "new"])
    assert book.spent("a") == accounting.epsilon_of_rounds({first.mechanism: 1, second.mechanism: 1}, 2.0, 1e-5)
    assert book.spent("new") == accounting.epsilon_of_rounds({second.mechanism: 1}, 2.0, 1e-5)
    for round_number in range(3, 20):
        book.charge(round_number, ["a"])
    assert book.spent("a") <= 2.0
    assert book.result()["silos"]["a"]["out_of_budget"]


def test_the_result_names_the_most_that_a_silo_spent(path):
    book = ledger.PrivacyLedger(path, {"a": budget(epsilon=1.0), "b": budget(epsilon=3.0)})
    book.charge(1, ["a", "b"])
    result = json.loads(json.dumps(book.result()))
    assert result["unit"] == "row"
    assert result["epsilon"] == book.spent("b") > book.spent("a")
    assert result["silos"]["b"] == {
        "epsilon": book.spent("b"),
        "target_epsilon": 3.0,
        "delta": 1e-5,
        "rounds": 1,
        "steps": 2,
        "accounted_sampling_probability": 0.5,
        "noise_multiplier": budget(epsilon=3.0).mechanism.noise_multiplier,
        "out_of_budget": False,
    }


def test_the_ledger_of_many_silos_stays_small(path):
    silos = [f"silo{number}" for number in range(10_000)]
    book = ledger.PrivacyLedger(path, dict.fromkeys(silos, budget(rounds=40)))
    header = path.stat().st_size
    for round_number in range(1, 21):
        book.charge(round_number, silos[3:])
        book.charge(round_number, silos[:3])
    assert path.stat().st_size - header < 40 * 100
    resumed = ledger.PrivacyLedger(path, dict.fromkeys(silos, budget(rounds=40))).result()
    assert [resumed["silos"][silo]["rounds"] for silo in ("silo0", "silo9999")] == [20, 20]
