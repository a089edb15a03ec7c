"""Sixteen airlines learn together which flights arrive late: data, pipeline, and what each airline gains.

```
python -m pipelines.flights.demo --scale sample --output build/demo
```
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import os
import pathlib
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from typing import TextIO

from pipelines.flights import data

DATA_FOLDER = "data"
LOG_FILE = "pipeline.log"
PIPELINE_FILE = "pipeline.yaml"
SUMMARY_FILE = "summary.json"
# Says that a folder is this program's to empty.
MARKER_FILE = ".flights-demo"

_COMPONENT_STARTS = "Component %s is running."
_COMPONENT_ENDS = "Component %s is finished."


class ComponentProgress(logging.Handler):
    """Shows one line per component, and what the federated trainer says of its rounds."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__(logging.INFO)
        self._terminal = terminal
        self._start = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Shows a record that a user waits for; drops every other one."""
        if record.msg == _COMPONENT_STARTS:
            self._start = time.monotonic()
            self._show(f"{record.args[0]} ...")  # type: ignore[index]
        elif record.msg == _COMPONENT_ENDS:
            self._show(f"{record.args[0]}: {time.monotonic() - self._start:.1f} s")  # type: ignore[index]
        elif pathlib.Path(record.pathname).parent.name == "federated_trainer":
            self._show(f"  {record.getMessage()}")

    def _show(self, line: str) -> None:
        print(line, file=self._terminal, flush=True)


@contextlib.contextmanager
def quiet(log_file: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Sends all that this process and its children print to a file.

    File descriptors are redirected, not only Python's streams: TensorFlow and pip write to them directly.

    Args:
        log_file: The file; it is appended to.

    Yields:
        The terminal, to print to.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with open(log_file, "ab") as log, os.fdopen(os.dup(1), "w", encoding="utf-8") as terminal:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in enumerate(saved, start=1):
                os.dup2(copy, number)
                os.close(copy)


def clear(output: pathlib.Path) -> None:
    """Empties the output folder of a former run, except for the prepared data.

    Raises:
        ValueError: The folder holds files and was not made by this program.
    """
    if output.exists() and any(output.iterdir()) and not (output / MARKER_FILE).exists():
        raise ValueError(f"--output: {output} holds other files; name a new folder, or remove that one")
    output.mkdir(parents=True, exist_ok=True)
    (output / MARKER_FILE).touch()
    for path in output.iterdir():
        if path.name in (MARKER_FILE, DATA_FOLDER):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def run(output: pathlib.Path, scale: str, terminal: TextIO) -> None:
    """Runs the demonstration.

    Args:
        output: Folder for everything that is written.
        scale: `sample` or `full`.
        terminal: Where to show progress and result. Everything else goes to standard output and error.
    """
    say = functools.partial(print, file=terminal, flush=True)
    start = time.monotonic()
    dataset = data.prepare(output / DATA_FOLDER, scale)
    say(f"flights: {dataset.rows['train']:,} to train on, {dataset.rows['eval']:,} of other days to test on")
    say("loading TFX ...")
    # Slow to import, and noisy: not before the output is redirected.
    from absl import logging as absl_logging

    from pipelines.flights import kubeflow_runner, local_runner, summary
    from tfx_federated import __version__, whole_files
    from tfx_federated.kubeflow import compiler

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    absl_logging.set_verbosity(absl_logging.INFO)
    progress = ComponentProgress(terminal)
    logging.getLogger().addHandler(progress)
    try:
        local_runner.run(dataset.folder, output)
    finally:
        logging.getLogger().removeHandler(progress)
    compiler.compile_pipeline(
        kubeflow_runner.create_kubeflow_pipeline(), output / PIPELINE_FILE, images=f"tfx-federated:{__version__}"
    )
    result = summary.summarise(
        output,
        summary.artifacts_of_latest_run(output / local_runner.METADATA_FILE),
        data.airline_names(),
        output / PIPELINE_FILE,
        time.monotonic() - start,
    )
    whole_files.write_json(str(output / SUMMARY_FILE), result)
    say("")
    say(summary.as_table(result))
    for name in ("report", "contribution_report", "model", "predictions", "pipeline_yaml"):
        where = "none: the model is not blessed" if result[name] is None else output / result[name]
        say(f"{name.replace('_', ' '):<22} {where}")
    say(f"wall time              {result['seconds']:.0f} s")


def main() -> int:
    """Runs the demonstration as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", choices=data.SCALES, default="sample")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("build/demo"))
    arguments = parser.parse_args()
    output: pathlib.Path = arguments.output
    try:
        clear(output)
    except ValueError as error:
        parser.error(str(error))
    try:
        with quiet(output / LOG_FILE) as terminal:
            run(output, arguments.scale, terminal)
    except Exception as error:
        with open(output / LOG_FILE, "a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        print(f"\n{type(error).__name__}: {error}\nThe whole log is in {output / LOG_FILE}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
