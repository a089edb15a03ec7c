import json
import os

import numpy as np
import pytest

from tests.tfx_federated.contribution_evaluator.small_run import FEATURES, Federation, write, write_summary
from tfx_federated.contribution_evaluator import federated_run


@pytest.fixture
def folder(tmp_path, federation):
    write(tmp_path / "run", federation)
    return tmp_path / "run"


def change_round(folder, number, **changes):
    file = folder / "updates" / f"round-{number:05d}.npz"
    with np.load(file) as arrays:
        changed = {**arrays, **changes}
    np.savez(file, **{name: array for name, array in changed.items() if array is not None})


def append(folder, name, **line):
    with (folder / name).open("a") as file:
        file.write(json.dumps(line) + "\n")


def test_the_ledger_holds_what_was_written(ledger, federation):
    assert ledger.silos == list(federation.rows)
    assert (ledger.rounds, ledger.update_rounds, ledger.omitted_rounds) == ([1, 2, 3, 4], [1, 2, 3, 4], [])
    assert ledger.missing_rounds == []
    late = ledger.place["late"]
    assert ledger.took_part[:, late].tolist() == [False, True, True, True]
    assert np.isnan(ledger.weight[0, late])
    assert ledger.rows[1].tolist() == list(federation.rows.values())
    assert (ledger.loss_before[1, late], ledger.loss_after[1, late]) == (0.6, 0.4)
    norms = [np.linalg.norm(update) for update in federation.rounds[2][3]]
    np.testing.assert_allclose(ledger.update_norm[2], norms)


def test_updates_are_those_that_were_sent(ledger, federation):
    for number, cohort, before, updates in federation.rounds:
        stored = ledger.updates(number)
        assert stored.silos == cohort
        np.testing.assert_array_equal(stored.global_weights, before)
        np.testing.assert_array_equal(stored.weights, [federation.rows[silo] for silo in cohort])
        np.testing.assert_allclose(stored.updates, updates, atol=1e-3 * np.abs(updates).max())


def test_exported_weights_need_not_be_those_of_the_last_round(ledger, federation):
    np.testing.assert_array_equal(ledger.last_round_weights(), federation.final)
    np.testing.assert_array_equal(ledger.exported_weights(), federation.rounds[-1][2])


def test_a_summary_ledger_has_no_updates(tmp_path, federation):
    ledger = federated_run.read(str(write_summary(tmp_path / "run", federation)))
    assert (ledger.is_detailed, list(ledger.update_rounds), ledger.omitted_rounds) == (False, [], [])
    assert ledger.took_part.any()


def test_a_run_that_tells_nothing_of_single_silos_is_empty(folder):
    (folder / "silo_updates.jsonl").unlink()
    assert not federated_run.read(str(folder)).took_part.any()


def test_a_missing_round_is_named(folder):
    lines = (folder / "rounds.jsonl").read_text().splitlines()
    (folder / "rounds.jsonl").write_text("\n".join([lines[0], *lines[2:]]))
    lines = (folder / "silo_updates.jsonl").read_text().splitlines()
    (folder / "silo_updates.jsonl").write_text("\n".join(line for line in lines if json.loads(line)["round"] != 2))
    ledger = federated_run.read(str(folder))
    assert (ledger.rounds, ledger.missing_rounds) == ([1, 3, 4], [2])
    assert (ledger.update_rounds, ledger.omitted_rounds) == ([1, 3, 4], [2])


def test_a_missing_file_of_updates_is_a_round_without_updates(folder):
    (folder / "updates" / "round-00003.npz").unlink()
    ledger = federated_run.read(str(folder))
    assert (ledger.update_rounds, ledger.omitted_rounds) == ([1, 2, 4], [3])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("settings.json", None, "has no settings.json: FederatedTrainer did not finish"),
        ("settings.json", '{"silos": {}}', "names no silos"),
        ("rounds.jsonl", None, "has no rounds.jsonl"),
        ("rounds.jsonl", "", "has no round"),
        ("silo_updates.jsonl", "no JSON", "silo_updates.jsonl is no ledger"),
        ("updates/index.json", '{"format": 2}', "has format 2; this version reads 1"),
    ],
)
def test_a_run_that_is_not_whole_is_refused(folder, name, content, message):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(federated_run.LedgerError, match=message):
        federated_run.read(str(folder))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"round": 1, "silo": "stranger", "weight": 1.0}, "has the silo 'stranger', which the other records do not"),
        ({"round": 9, "silo": "large", "weight": 1.0}, "has the round 9, which the other records do not have"),
        ({"round": 2, "silo": "large", "weight": 1.0}, "has a silo twice in one round"),
    ],
)
def test_lines_of_another_run_are_refused(folder, line, message):
    append(folder, "silo_updates.jsonl", **line)
    with pytest.raises(federated_run.LedgerError, match=message):
        federated_run.read(str(folder))


@pytest.mark.parametrize("content", [b"", b"no archive", "half"])
def test_a_broken_file_of_updates_is_named(folder, content):
    file = folder / "updates" / "round-00002.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    ledger = federated_run.read(str(folder))
    with pytest.raises(federated_run.LedgerError, match=r"round-00002.npz is broken .*; run FederatedTrainer again"):
        ledger.updates(2)


@pytest.mark.parametrize("name", ["silos", "weights", "global", "updates", "scales"])
def test_a_file_of_updates_without_an_array_is_refused(folder, name):
    change_round(folder, 1, **{name: None})
    with pytest.raises(federated_run.LedgerError, match=f"round-00001.npz has no array '{name}'"):
        federated_run.read(str(folder)).updates(1)


def test_updates_of_another_run_are_refused(folder, tmp_path):
    other = write(tmp_path / "other", Federation({"large": 300, "idle": 80, "middle": 60, "small": 12}, seed=5))
    os.replace(os.path.join(other, "updates", "round-00001.npz"), folder / "updates" / "round-00001.npz")
    with pytest.raises(federated_run.LedgerError, match=r"has another norm than silo_updates.jsonl says"):
        federated_run.read(str(folder)).updates(1)


def test_updates_of_a_silo_that_was_not_in_the_training_are_refused(folder):
    change_round(folder, 1, silos=np.array(["large", "idle", "middle", "stranger"]))
    with pytest.raises(federated_run.LedgerError, match=r"has the silo 'stranger', which settings.json does not have"):
        federated_run.read(str(folder)).updates(1)


def test_a_run_of_an_older_version_can_be_read_but_has_no_weights(folder):
    (folder / "weights.npz").unlink()
    ledger = federated_run.read(str(folder))
    with pytest.raises(federated_run.LedgerError, match=r"weights.npz is missing.* run FederatedTrainer again"):
        ledger.last_round_weights()


def test_weights_without_those_of_the_last_round_are_refused(folder):
    np.savez(folder / "weights.npz", exported=np.zeros(FEATURES + 1, np.float32))
    with pytest.raises(federated_run.LedgerError, match="has no array 'last_round'"):
        federated_run.read(str(folder)).last_round_weights()
