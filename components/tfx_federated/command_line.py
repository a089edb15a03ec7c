"""The command `tfx-federated`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

# Each module has `add_arguments(parser)` and `run(parsed)`, whose errors of the kinds below are what the user is told.
COMMANDS = {
    "compile": ("tfx_federated.kubeflow.pipeline_folder", "compile a pipeline for Kubeflow Pipelines"),
    "submit": ("tfx_federated.kubeflow.submission", "run a compiled pipeline on Kubeflow Pipelines"),
    "doctor": ("tfx_federated.diagnosis.command", "check this machine, and a cluster, for what the components need"),
    "components": ("tfx_federated.kubeflow.component_files", "write the components as YAML files for the kfp SDK"),
    "install-tff": ("tfx_federated.tff_environment", "make the Python environment that TensorFlow Federated runs in"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: The command line without the program's name; `sys.argv` if None.

    Returns:
        The exit code.
    """
    summaries = "\n".join(f"  {name:<12}  {summary}" for name, (_, summary) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="tfx-federated",
        usage="%(prog)s [-h] COMMAND ...",
        description=f"{__doc__}\n\ncommands:\n{summaries}\n\n'tfx-federated COMMAND --help' says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the above")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    # Some modules take seconds to import: only that of the command is.
    module = importlib.import_module(COMMANDS[chosen.command][0])
    command = argparse.ArgumentParser(prog=f"tfx-federated {chosen.command}", description=module.__doc__)
    module.add_arguments(command)
    parsed = command.parse_args(chosen.arguments)
    try:
        return int(module.run(parsed))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"tfx-federated {chosen.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
