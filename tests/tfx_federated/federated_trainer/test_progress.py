import contextlib
import logging
import os
import pty
import subprocess
import sys
import termios

from tfx_federated.federated_trainer import progress

EVENTS = [
    {"event": "started"},
    {"event": "training", "finished": 1, "rounds": 3, "silos": 4},
    {"event": "round", "round": 2, "rounds": 3, "seconds": 0.5, "loss": 0.25},
    {"event": "round", "round": 3, "rounds": 3, "seconds": 0.5, "loss": 0.125},
]


def show():
    with progress.TrainingProgress(3) as shown:
        for event in EVENTS:
            shown(event)


def test_lines_where_there_is_no_terminal(caplog):
    logger = logging.getLogger("absl")
    logger.propagate = True
    with caplog.at_level(logging.INFO, logger="absl"):
        show()
    assert [record.getMessage() for record in caplog.records] == [
        "Federated training: started",
        "Federated training: 4 silos, round 1 of 3",
        "Federated training: round 2 of 3: loss 0.250000, 0.50 s",
        "Federated training: round 3 of 3: loss 0.125000, 0.50 s",
    ]


def read_all(terminal):
    # The end of a pseudo-terminal whose other side is closed is an input/output error.
    with open(terminal, "rb", buffering=0) as file, contextlib.suppress(OSError):
        while chunk := file.read(4096):
            yield chunk


def test_a_bar_that_reaches_the_end_on_a_terminal():
    script = "from tests.tfx_federated.federated_trainer import test_progress; test_progress.show()"
    terminal, child_side = pty.openpty()
    termios.tcsetwinsize(child_side, (25, 100))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], stderr=child_side, env=environment, check=True)
    os.close(child_side)
    shown = b"".join(read_all(terminal)).decode()
    assert "Federated training: 100%" in shown
    assert "3/3" in shown
    assert "loss=0.125000" in shown


def test_a_rejected_update_is_a_warning_that_names_the_silo(caplog):
    logging.getLogger("absl").propagate = True
    with caplog.at_level(logging.WARNING, logger="absl"), progress.TrainingProgress(3) as shown:
        shown({"event": "rejected", "round": 2, "silos": ["a"], "local_models": ["b"]})
    messages = [record.getMessage() for record in caplog.records]
    assert [message.split(";")[0] for message in messages] == [
        "Federated training: round 2: the update of silo 'a' is not finite and is left out",
        "Federated training: round 2: silo 'b', training alone, has an update that is not finite",
    ]
