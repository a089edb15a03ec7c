"""Reads compiled pipelines: the YAML files that Kubeflow Pipelines takes, checked against its messages."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = "2.1.0"
_COMPILE = "compile the pipeline with `tfx-federated compile`"


class CompiledPipelineError(ValueError):
    """A file is no compiled pipeline that open-source Kubeflow Pipelines takes."""


@dataclasses.dataclass(frozen=True)
class CompiledPipeline:
    """A compiled pipeline.

    Attributes:
        path: The file.
        specification: The `PipelineSpec`.
        executors: What runs each step, by executor label: the `ExecutorSpec` of the deployment.
        configs: Where it runs on Kubernetes, by executor label: the `KubernetesExecutorConfig` of the PlatformSpec.
            Executors without any are left out.
    """

    path: pathlib.Path
    specification: Any
    executors: Mapping[str, Any]
    configs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.specification.pipeline_info.name)


def load(path: str | os.PathLike[str]) -> CompiledPipeline:
    """Reads a compiled pipeline. A field that Kubeflow Pipelines does not know is an error.

    Args:
        path: A `.yaml` or `.yml` file: a PipelineSpec and, optionally, a PlatformSpec.

    Returns:
        The pipeline.

    Raises:
        CompiledPipelineError: The file cannot be read, or is not of that form; the message says what is wrong.
    """
    file = pathlib.Path(path)
    specification, platform = _documents(file)
    return parse(specification, platform, file)


def parse(specification: Mapping[str, Any], platform: Mapping[str, Any], file: pathlib.Path) -> CompiledPipeline:
    """Parses the documents of a compiled pipeline.

    Args:
        specification: The PipelineSpec, JSON.
        platform: The PlatformSpec, JSON; empty for none.
        file: Where they are, or will be.

    Returns:
        The pipeline.

    Raises:
        CompiledPipelineError: A document has a field that Kubeflow Pipelines does not know, or a value of another type.
    """
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        parsed = json_format.ParseDict(specification, pipeline_spec_pb2.PipelineSpec())
        deployment = json_format.ParseDict(
            specification.get("deploymentSpec", {}), pipeline_spec_pb2.PipelineDeploymentConfig()
        )
    except json_format.ParseError as error:
        raise CompiledPipelineError(f"{file}: the PipelineSpec is wrong: {error}; {_COMPILE}") from error
    try:
        platforms = json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec()).platforms
        of_executors = platforms["kubernetes"].deployment_spec.executors
        configs = {
            label: json_format.ParseDict(
                json_format.MessageToDict(config), kubernetes_executor_config_pb2.KubernetesExecutorConfig()
            )
            for label, config in sorted(of_executors.items())
        }
    except json_format.ParseError as error:
        raise CompiledPipelineError(f"{file}: the PlatformSpec is wrong: {error}; {_COMPILE}") from error
    unknown = sorted(set(configs) - set(deployment.executors))
    if unknown:
        raise CompiledPipelineError(
            f"{file}: the PlatformSpec places {unknown[0]!r}, which the pipeline does not have; its executors are "
            f"{', '.join(sorted(deployment.executors))}"
        )
    return CompiledPipeline(file, parsed, dict(sorted(deployment.executors.items())), configs)


def _documents(file: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the PipelineSpec and the PlatformSpec of a file, as JSON."""
    import yaml

    if file.suffix not in (".yaml", ".yml"):
        raise CompiledPipelineError(f"{file} is not named .yaml; {_COMPILE} to a .yaml file")
    try:
        documents = list(yaml.safe_load_all(file.read_text("utf-8")))
    except FileNotFoundError as error:
        raise CompiledPipelineError(f"{file} does not exist; {_COMPILE} first") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CompiledPipelineError(f"{file} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise CompiledPipelineError(f"{file} is not YAML: {error}") from error
    if not 1 <= len(documents) <= 2 or not all(isinstance(document, dict) for document in documents):
        raise CompiledPipelineError(
            f"{file} is no compiled pipeline, which is one YAML document, or two with a PlatformSpec; {_COMPILE}"
        )
    specification = documents[0]
    if "pipelineSpec" in specification:
        raise CompiledPipelineError(f"{file} is a PipelineJob, which Vertex AI takes; {_COMPILE} instead")
    version = specification.get("schemaVersion")
    if version != SCHEMA_VERSION:
        found = f"has schemaVersion {version}" if version else "has no schemaVersion"
        raise CompiledPipelineError(
            f"{file} {found}, and Kubeflow Pipelines takes PipelineSpecs of {SCHEMA_VERSION}; {_COMPILE}"
        )
    return specification, documents[1] if len(documents) == 2 else {}
