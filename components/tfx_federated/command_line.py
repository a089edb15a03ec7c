"""The command `tfx-federated`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

# Each module has `add_arguments(parser)` and `run(parsed)`, whose errors of the kinds below are what the user is told.
COMMANDS = {
    "compile": ("tfx_federated.kubeflow.pipeline_folder", "compile a pipeline for Kubeflow Pipelines"),
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
    parser = argparse.ArgumentParser(prog="tfx-federated", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module_name, summary) in COMMANDS.items():
        module = importlib.import_module(module_name)
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"tfx-federated {parsed.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
