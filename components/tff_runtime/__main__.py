"""Runs one job: `python -m tff_runtime JOB_DIRECTORY`.

Exit code 0 and a folder `result`, or exit code 1 and `error.json`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import threading

from tff_runtime import error_text, tensorflow_environment
from tff_runtime import job as job_lib
from tff_runtime.settings import executions


def main() -> int:
    """Reads the command line, runs the job and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tff_runtime", description="Runs one federated training job.")
    parser.add_argument("job_directory", help="folder with job.json, module.py and data/")
    parser.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="end at once, with every child process, when standard input is closed: the starter is gone",
    )
    arguments = parser.parse_args()
    if arguments.end_with_stdin:
        threading.Thread(target=_end_group_with_stdin, daemon=True).start()
    tensorflow_environment.set_up()
    directory = job_lib.JobDirectory(arguments.job_directory)
    directory.error.unlink(missing_ok=True)
    try:
        run(directory)
    except Exception as error:
        print(error_text.traceback_of(error), file=sys.stderr)
        directory.error.write_text(error_text.to_job_error(error).to_json(), "utf-8")
        return 1
    return 0


def run(directory: job_lib.JobDirectory) -> None:
    """Trains the silos, or coalitions of them, and writes the result.

    Args:
        directory: The job's files.

    Raises:
        JobError: The job cannot go on for a reason that its user can act on.
    """
    # TensorFlow and TFF take seconds to import: the lifeline above must be listening before that.
    from tff_runtime import coalition_training, federated_training, module_file
    from tff_runtime.contexts import in_process
    from tff_runtime.results import write_models

    job = directory.read_job()
    if isinstance(job.execution, executions.InProcess):
        in_process.share_processors(job)
    user = module_file.load(directory.module, job)
    user.make_model()
    directory.report("started")
    if directory.coalitions.exists():
        coalition_training.train_coalitions(directory, job, user)
    else:
        trained = federated_training.run_training(directory, job, user)
        directory.report("exporting")
        write_models(directory.unfinished_result, trained, user.make_model, job)
    shutil.rmtree(directory.result, ignore_errors=True)
    directory.unfinished_result.rename(directory.result)
    directory.report("finished")


def _end_group_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
