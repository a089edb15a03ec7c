"""The command `tfx-federated`."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from tfx_federated import tff_environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: The command line without the program's name; `sys.argv` if None.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="tfx-federated", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser(
        "install-tff",
        help="make the Python environment that TensorFlow Federated runs in",
        description=tff_environment.__doc__,
    )
    install.add_argument("directory", type=pathlib.Path, metavar="DIR", help="folder to make; it must not exist")
    parsed = parser.parse_args(arguments)
    try:
        python = tff_environment.install(parsed.directory)
    except tff_environment.InstallationError as error:
        print(f"tfx-federated install-tff: {error}", file=sys.stderr)
        return 1
    print(
        f"TensorFlow Federated is installed. Let the trainer find it:\n\n    export "
        f"{tff_environment.PYTHON_VARIABLE}={python}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
