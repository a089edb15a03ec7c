import os
import sys

import psutil
import pytest

from benchmarks.trainer import process_tree

# Turns for so many seconds of processor time.
SPIN = "import time\nwhile time.process_time() < {}: pass\n"
# Starts a program in a session of its own, and ends before it does.
LEAVE_BEHIND = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {!r}], start_new_session=True)\n"
# Tells its process id and never ends.
STAY = "import os, signal\nopen({0!r}, 'w').write(str(os.getpid()))\nwhile True: signal.pause()\n"
WAIT = "import os\nwhile not os.path.exists({0!r}) or not open({0!r}).read(): pass\n"


@pytest.fixture
def measure(tmp_path):
    def measure(program, time_limit=60):
        command = [sys.executable, "-c", program]
        return process_tree.measure(command, os.environ, time_limit, tmp_path / "output.txt")

    return measure


def test_time_exit_code_and_output_are_those_of_the_command(measure, tmp_path):
    measured = measure(SPIN.format(0.5) + "print('done')\nraise SystemExit(3)")

    assert measured.exit_code == 3
    assert measured.wall_seconds >= 0.5
    assert measured.cpu_seconds >= 0.5
    assert (tmp_path / "output.txt").read_text() == "done\n"


def test_the_processor_time_of_children_counts(measure):
    child = SPIN.format(0.5)

    measured = measure(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n{SPIN.format(0.5)}")

    assert measured.cpu_seconds >= 1.0


def test_a_process_that_is_left_behind_counts_and_is_ended(measure, tmp_path):
    marker = tmp_path / "pid"

    measured = measure(LEAVE_BEHIND.format(SPIN.format(1.0) + STAY.format(str(marker))) + WAIT.format(str(marker)))

    assert measured.exit_code == 0
    assert measured.cpu_seconds >= 1.0
    assert not psutil.pid_exists(int(marker.read_text()))


def test_a_command_beyond_its_time_limit_is_ended_and_has_no_exit_code(measure, tmp_path):
    marker = tmp_path / "pid"

    measured = measure(STAY.format(str(marker)), time_limit=3)

    assert measured.exit_code is None
    assert measured.wall_seconds >= 3
    assert not psutil.pid_exists(int(marker.read_text()))


def test_the_memory_of_the_tree_is_added_up(measure, tmp_path):
    marker = tmp_path / "pid"
    hold = "held = b'x' * (150 * 2**20)\n"

    measured = measure(
        LEAVE_BEHIND.format(hold + STAY.format(str(marker))) + hold + WAIT.format(str(marker)) + SPIN.format(1.0)
    )

    assert 300 <= measured.peak_mebibytes < 450
