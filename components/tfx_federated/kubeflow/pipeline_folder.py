"""Finds the pipeline that a folder defines for Kubeflow Pipelines, and compiles it from the command line.

A pipeline folder is a Python package with a module `kubeflow_runner` that has `create_kubeflow_pipeline()`, which
returns a TFX pipeline created with `pipeline_root=""`. `pipelines/flights` is one.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import sys
from typing import Any

from tfx_federated.kubeflow import placement

MODULE = "kubeflow_runner"
FUNCTION = "create_kubeflow_pipeline"


class PipelineFolderError(ValueError):
    """A folder defines no pipeline for Kubeflow Pipelines, or an argument cannot be read."""


def load(folder: str | os.PathLike[str]) -> Any:
    """Imports a pipeline folder and creates its pipeline.

    The working folder becomes the one that the outermost package lies in, as in the container image: module files are
    named relative to it.

    Args:
        folder: The pipeline folder.

    Returns:
        The TFX pipeline.

    Raises:
        PipelineFolderError: The folder is missing or is not a pipeline folder.
    """
    path = pathlib.Path(folder).resolve()
    if not (path / f"{MODULE}.py").is_file():
        raise PipelineFolderError(
            f"{folder} has no {MODULE}.py; name a folder with one, in which {FUNCTION}() returns the pipeline"
        )
    root = path
    while (root / "__init__.py").is_file():
        root = root.parent
    name = ".".join([*path.relative_to(root).parts, MODULE])
    os.chdir(root)
    sys.path.insert(0, str(root))
    module = importlib.import_module(name)
    if not hasattr(module, FUNCTION):
        raise PipelineFolderError(f"{path / MODULE}.py has no function {FUNCTION}(); define it, or name another folder")
    return getattr(module, FUNCTION)()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfx-federated compile`."""
    parser.add_argument("folder", help=f"a pipeline folder: a Python package with {MODULE}.py")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FILE", help="the .yaml file to write")
    parser.add_argument(
        "--image",
        required=True,
        action="append",
        metavar="[NODE=]IMAGE",
        help="the container image of all nodes, or of one; best with a digest (name@sha256:...)",
    )
    parser.add_argument("--placement", type=pathlib.Path, metavar="FILE", help="where nodes run, a YAML file")
    parser.add_argument(
        "--environment", action="append", default=[], metavar="NAME=VALUE", help="environment variable of every node"
    )
    parser.add_argument(
        "--minimum-backend",
        default=placement.DEFAULT_MINIMUM_BACKEND,
        metavar="VERSION",
        help="oldest release of Kubeflow Pipelines that the file is for (%(default)s)",
    )
    parser.add_argument("--allow-latest", action="store_true", help="allow images without a tag, and with 'latest'")


def run(parsed: argparse.Namespace) -> int:
    """Compiles what the command line says.

    Returns:
        The exit code.

    Raises:
        ValueError: What the folder, the placement or the compiler finds wrong.
    """
    from absl import logging as absl_logging

    from tfx_federated.kubeflow import compiler

    # TFX warns of what the compiler does on purpose.
    absl_logging.set_verbosity(absl_logging.ERROR)
    output = parsed.output.resolve()
    placements = placement.load(parsed.placement) if parsed.placement else {}
    images = dict(_pair(text, "--image") if "=" in text else (placement.DEFAULT, text) for text in parsed.image)
    environment = dict(_pair(text, "--environment") for text in parsed.environment)
    compiler.compile_pipeline(
        load(parsed.folder),
        output,
        images=images,
        placement=placements,
        environment=environment,
        minimum_backend=parsed.minimum_backend,
        allow_latest=parsed.allow_latest,
    )
    print(f"wrote {output}")
    return 0


def _pair(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise PipelineFolderError(f"{option} {text!r}: give NAME=VALUE")
    return name, value
