import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tfx_federated import small_job
from tff_runtime import job as job_lib
from tff_runtime.settings import ledgers
from tfx_federated import silo_examples
from tfx_federated.federated_trainer import checkpoint_store

ROUNDS = 30
# Only to end a test that would wait for ever.
DEADLINE_SECONDS = 240

TRAIN = """
import sys
from tff_runtime import job
from tfx_federated import tff_process
from tfx_federated.federated_trainer import checkpoint_store

directory = job.JobDirectory(sys.argv[1])
store = checkpoint_store.CheckpointStore(sys.argv[2], checkpoint_store.key(directory, ()), directory)
print("restored", store.restore(), flush=True)

def on_event(event):
    store(event)
    print(event["event"], flush=True)

tff_process.run_job(directory, tff_process.find_tff_python(), on_event)
"""


def write_job(folder: pathlib.Path, **changes):
    """Writes a job that keeps the silos' updates, with a server optimizer that has state of its own."""
    directory = small_job.write(folder, rounds=ROUNDS)
    job = dataclasses.replace(
        directory.read_job(),
        server_optimizer="adam",
        evaluation_interval=5,
        ledger=ledgers.DetailedLedger(),
        **changes,
    )
    directory.job.write_text(job.to_json())
    return directory


def train(folder: pathlib.Path, store: pathlib.Path, kill_at: str | None = None, times: int = 1):
    """Trains in a process of its own, in a job folder that is not there yet.

    Kills that process and all its children where it says `kill_at` for that many times. Returns the round it went on
    after, and the job folder.
    """
    directory = write_job(folder)
    folder.mkdir(exist_ok=True)
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, str(directory.path), str(store)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        ) as process,
    ):
        restored = int(process.stdout.readline().removeprefix("restored "))
        for line in process.stdout:
            times -= line.strip() == kill_at
            if times == 0:
                os.killpg(process.pid, signal.SIGKILL)
                break
        assert process.wait(DEADLINE_SECONDS) == (0 if kill_at is None else -signal.SIGKILL)
    return restored, directory


def weights(directory):
    return [variable.numpy() for variable in tf.saved_model.load(str(directory.result / "model")).model_variables]


def updates(directory):
    return {path.name: path.read_bytes() for path in (directory.result / "run" / "updates").iterdir()}


def records(directory):
    lines = [
        json.loads(line)
        for file in ("rounds.jsonl", "silo_metrics.jsonl")
        for line in (directory.result / "run" / file).read_text().splitlines()
    ]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_a_killed_training_whose_machine_is_gone_ends_with_the_same_weights_and_records(tmp_path):
    _, uninterrupted = train(tmp_path / "uninterrupted", tmp_path / "another store")
    store = tmp_path / "store"
    restored_each_time = []
    for attempt in range(2):
        restored, directory = train(tmp_path / str(attempt), store, kill_at="checkpoint", times=3)
        restored_each_time.append(restored)
        assert not directory.result.exists()
        shutil.rmtree(directory.path)
    restored, last = train(tmp_path / "last", store)
    first, second, third = [*restored_each_time, restored]
    assert 0 == first < second < third < ROUNDS
    for trained, expected in zip(weights(last), weights(uninterrupted), strict=True):
        np.testing.assert_array_equal(trained, expected)
    assert records(last) == records(uninterrupted)
    assert len(updates(last)) == ROUNDS + 1
    assert updates(last) == updates(uninterrupted)


@pytest.fixture
def directory(tmp_path):
    return write_job(tmp_path)


def write_state(directory, version, content="state"):
    """Writes what the TFF side leaves after a round."""
    state = directory.checkpoints / f"program_state_{version}"
    (state / "variables").mkdir(parents=True)
    (state / "saved_model.pb").write_text("graph")
    (state / "variables" / "variables.data").write_text(f"{content} {version}")
    run = directory.unfinished_result / "run"
    run.mkdir(parents=True, exist_ok=True)
    with (run / "rounds.jsonl").open("a") as file:
        file.write(json.dumps({"round": version}) + "\n")
    (run / "silo_metrics.jsonl").touch()
    shutil.rmtree(directory.checkpoints / f"program_state_{version - 2}", ignore_errors=True)


def states(directory):
    return sorted(path.name for path in directory.checkpoints.glob("program_state_*"))


def open_store(tmp_path, directory, key="k"):
    return checkpoint_store.CheckpointStore(str(tmp_path / "store"), key, directory)


def other_machine(tmp_path):
    return job_lib.JobDirectory(tmp_path / "other machine")


def test_the_newest_checkpoint_comes_back_with_the_whole_lines_of_its_records(tmp_path, directory):
    store = open_store(tmp_path, directory)
    for version in (1, 2, 3):
        write_state(directory, version)
        if version == 3:
            with (directory.unfinished_result / "run" / "rounds.jsonl").open("a") as file:
                file.write('{"round": 4, "lo')
        store({"event": "round"})
    other = other_machine(tmp_path)
    assert open_store(tmp_path, other).restore() == 3
    assert states(other) == ["program_state_3"]
    assert (other.checkpoints / "program_state_3" / "variables" / "variables.data").read_text() == "state 3"
    lines = (other.unfinished_result / "run" / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"round": 1}, {"round": 2}, {"round": 3}]
    assert (other.unfinished_result / "run" / "silo_metrics.jsonl").read_text() == ""


def test_the_last_two_checkpoints_are_kept_and_a_broken_one_is_passed_over(tmp_path, directory):
    store = open_store(tmp_path, directory)
    for version in (1, 2, 3, 4):
        write_state(directory, version)
        store({"event": "round"})
    third, fourth = sorted((tmp_path / "store").iterdir())
    assert (third.name[:8], fourth.name[:8]) == ("00000003", "00000004")
    (fourth / "checkpoints" / "program_state_4" / "variables" / "variables.data").write_text("state 5")
    other = other_machine(tmp_path)
    assert open_store(tmp_path, other).restore() == 3
    assert states(other) == ["program_state_3"]


def write_update(directory, round_number, content):
    folder = directory.unfinished_result / "run" / "updates"
    folder.mkdir(parents=True, exist_ok=True)
    # As the TFF side does: a file is replaced, never changed.
    (folder / "temporary").write_bytes(content)
    (folder / "temporary").rename(folder / f"round-{round_number:05d}.npz")
    (folder / f"round-{round_number + 1:05d}.npz.unfinished").write_bytes(b"half of it")


def restored_updates(directory):
    folder = directory.unfinished_result / "run" / "updates"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_updates_are_stored_once_for_all_checkpoints(tmp_path, directory):
    store = open_store(tmp_path, directory)
    for version in (1, 2, 3):
        write_state(directory, version)
        write_update(directory, version, f"of round {version}".encode())
        store({"event": "round"})
    stored = tmp_path / "store" / "updates"
    assert sorted(path.read_bytes() for path in stored.iterdir()) == [b"of round 1", b"of round 2", b"of round 3"]
    assert not list((tmp_path / "store").rglob("*.npz*"))
    other = other_machine(tmp_path)
    assert open_store(tmp_path, other).restore() == 3
    assert restored_updates(other) == {f"round-{n:05d}.npz": f"of round {n}".encode() for n in (1, 2, 3)}


def test_updates_of_a_round_that_was_run_again_are_those_of_the_last_time(tmp_path, directory):
    store = open_store(tmp_path, directory)
    for version, content in [(1, b"first"), (2, b"with noise"), (3, b"third")]:
        write_state(directory, version)
        write_update(directory, version, content)
        store({"event": "round"})
    again = other_machine(tmp_path)
    shutil.rmtree(max(path for path in (tmp_path / "store").iterdir() if path.name.startswith("00000003")))
    store = open_store(tmp_path, again)
    assert store.restore() == 2
    write_state(again, 3)
    write_update(again, 3, b"third with other noise")
    store({"event": "round"})
    last = job_lib.JobDirectory(tmp_path / "last machine")
    assert open_store(tmp_path, last).restore() == 3
    assert restored_updates(last)["round-00003.npz"] == b"third with other noise"


def test_a_checkpoint_with_broken_updates_is_passed_over(tmp_path, directory):
    store = open_store(tmp_path, directory)
    for version in (1, 2):
        write_state(directory, version)
        write_update(directory, version, f"of round {version}".encode())
        store({"event": "round"})
    (of_second,) = [path for path in (tmp_path / "store" / "updates").iterdir() if path.read_bytes()[-1:] == b"2"]
    of_second.write_bytes(b"something else")
    other = other_machine(tmp_path)
    assert open_store(tmp_path, other).restore() == 1


def test_a_checkpoint_whose_copy_was_ended_is_not_restored(tmp_path, directory):
    write_state(directory, 1)
    open_store(tmp_path, directory)({"event": "round"})
    (checkpoint,) = (tmp_path / "store").iterdir()
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    half = tmp_path / "store" / "00000002-half"
    shutil.copytree(checkpoint, half)
    (half / "whole.json").unlink()
    other = other_machine(tmp_path)
    assert open_store(tmp_path, other).restore() == 1
    assert len(files) == 5


def test_a_checkpoint_with_another_key_is_not_restored_and_local_state_is_dropped(tmp_path, directory):
    write_state(directory, 1)
    open_store(tmp_path, directory)({"event": "round"})
    other = other_machine(tmp_path)
    write_state(other, 7)
    assert open_store(tmp_path, other, key="another").restore() == 0
    assert states(other) == []
    assert not other.unfinished_result.exists()


def test_state_that_the_training_removes_meanwhile_is_not_stored(tmp_path, directory, monkeypatch):
    store = open_store(tmp_path, directory)
    write_state(directory, 1)
    link = os.link

    def link_while_two_rounds_pass(source, target):
        link(source, target)
        if not (directory.checkpoints / "program_state_2").exists():
            write_state(directory, 2)
            write_state(directory, 3)

    monkeypatch.setattr(os, "link", link_while_two_rounds_pass)
    store({"event": "round"})
    assert not (tmp_path / "store").exists()
    store({"event": "round"})
    assert open_store(tmp_path, other_machine(tmp_path)).restore() == 3


def test_what_is_spent_stays_spent_where_the_training_goes_back_to_an_earlier_round(tmp_path, directory):
    store = open_store(tmp_path, directory)
    write_state(directory, 1)
    ledger = directory.checkpoints / "ledger.jsonl"
    ledger.write_text('{"round": 1}\n')
    store({"event": "round"})
    ledger.write_text('{"round": 1}\n{"round": 2}\n{"rou')
    store({"event": "round"})
    other = other_machine(tmp_path)
    assert open_store(tmp_path, other).restore() == 1
    assert (other.checkpoints / "ledger.jsonl").read_text() == '{"round": 1}\n{"round": 2}\n'


def test_nothing_is_left_of_a_training_that_is_over(tmp_path, directory):
    store = open_store(tmp_path, directory)
    store.remove()
    write_state(directory, 1)
    store({"event": "round"})
    store.remove()
    assert not (tmp_path / "store").exists()


def test_a_place_that_cannot_be_written_does_not_end_the_training(tmp_path, directory):
    (tmp_path / "store").write_text("a file where the folder should be")
    write_state(directory, 1)
    open_store(tmp_path, directory)({"event": "round"})
    assert (tmp_path / "store").is_file()


ENTRIES = [silo_examples.SiloEntry(silo, "train", 0, 0, 8, 1, silo * 64) for silo in "ab"]


def test_the_key_is_that_of_what_the_training_reads(tmp_path, directory):
    key = checkpoint_store.key(directory, ENTRIES)
    again = small_job.write(tmp_path / "again", rounds=ROUNDS)
    again.job.write_text(directory.job.read_text())
    assert checkpoint_store.key(again, reversed(ENTRIES)) == key
    moved = [dataclasses.replace(entry, shard=3, offset=99) for entry in ENTRIES]
    assert checkpoint_store.key(directory, moved) == key


def _change_rows(directory):
    return [dataclasses.replace(ENTRIES[0], checksum="c" * 64), ENTRIES[1]]


def _change_module(directory):
    directory.module.write_text(directory.module.read_text() + "\n")
    return ENTRIES


def _change_settings(directory):
    directory.job.write_text(dataclasses.replace(directory.read_job(), seed=1).to_json())
    return ENTRIES


def _change_initial_weights(directory):
    np.savez(directory.initial_weights, np.ones(2))
    return ENTRIES


@pytest.mark.parametrize("change", [_change_rows, _change_module, _change_settings, _change_initial_weights])
def test_another_input_has_another_key(directory, change):
    key = checkpoint_store.key(directory, ENTRIES)
    assert checkpoint_store.key(directory, change(directory)) != key


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.binary(max_size=40))
def test_of_records_the_lines_that_are_whole_are_copied(tmp_path, content):
    source, target = tmp_path / "rounds.jsonl", tmp_path / "copy"
    source.write_bytes(content)
    checkpoint_store._copy_record(str(source), str(target))
    copied = target.read_bytes()
    assert content.startswith(copied)
    assert b"\n" not in content[len(copied) :]
    assert copied == b"" or copied.endswith(b"\n")
