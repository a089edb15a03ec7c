import io
import re
import subprocess
import sys

import pytest
from absl import logging
from pipelines.flights import demo

from tfx_federated.federated_trainer import progress


def test_progress_shows_components_and_the_trainers_rounds_only():
    terminal = io.StringIO()
    handler = demo.ComponentProgress(terminal)
    logging.set_verbosity(logging.INFO)
    logging.get_absl_logger().addHandler(handler)
    try:
        logging.info("Component %s is running.", "FederatedTrainer")
        logging.info("Using connection config:\n %s", "...")
        with progress.TrainingProgress(rounds=2) as show:
            show({"event": "round", "round": 1, "rounds": 2, "loss": 0.5, "seconds": 1.0})
        logging.info("Component %s is finished.", "FederatedTrainer")
    finally:
        logging.get_absl_logger().removeHandler(handler)
    first, training, last = terminal.getvalue().splitlines()
    assert first == "FederatedTrainer ..."
    assert "1 of 2" in training
    assert re.fullmatch(r"FederatedTrainer: \d+\.\d s", last)


def test_quiet_sends_output_of_the_process_and_its_children_to_the_log(tmp_path):
    program = f"""
import os, subprocess, sys
from pipelines.flights import demo
with demo.quiet({str(tmp_path / "log")!r}) as terminal:
    print("a print")
    os.write(2, b"a library\\n")
    subprocess.run([sys.executable, "-c", "print('a child')"], check=True)
    print("for the user", file=terminal)
print("afterwards")
"""
    process = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert process.stdout == "for the user\nafterwards\n"
    assert process.stderr == ""
    assert set((tmp_path / "log").read_text().splitlines()) == {"a print", "a library", "a child"}


def test_clear_keeps_the_prepared_data_and_removes_a_former_run(tmp_path):
    demo.clear(tmp_path / "demo")
    for name in ("data", "artifacts"):
        (tmp_path / "demo" / name).mkdir()
    (tmp_path / "demo" / "summary.json").touch()
    demo.clear(tmp_path / "demo")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [demo.MARKER_FILE, "data"]


def test_clear_refuses_a_folder_that_it_did_not_make(tmp_path):
    (tmp_path / "letter.txt").touch()
    with pytest.raises(ValueError, match="holds other files"):
        demo.clear(tmp_path)
    assert (tmp_path / "letter.txt").exists()


def test_failure_is_shown_and_ends_with_a_status_that_is_not_zero(tmp_path, capfd, monkeypatch):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / demo.MARKER_FILE).touch()
    (tmp_path / "demo" / "data").mkdir()
    (tmp_path / "demo" / "data" / "letter.txt").touch()
    monkeypatch.setattr(sys, "argv", ["demo", "--output", str(tmp_path / "demo")])
    assert demo.main() == 1
    assert "ValueError: folder: " in capfd.readouterr().err
    assert "Traceback" in (tmp_path / "demo" / demo.LOG_FILE).read_text()
