"""Our TFX components as components of the kfp SDK, one YAML file each.

```
partition = kfp.components.load_component_from_file("silo_partitioner/component.yaml")
```
A kfp user composes them with own `@dsl.component` steps. The artifacts have Kubeflow's types (`system.Dataset`,
`system.Model`, `system.Artifact`), which the UI and kfp's type checks know; the entrypoint is told TFX's types beside
them. Parameters have the names and defaults of the TFX component; lists and messages are JSON strings, as TFX stores
them.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import docstring_parser
from google.protobuf import json_format
from kfp.dsl import structures
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.types import component_spec, standard_artifacts
from tfx.utils import name_utils

import tfx_federated
from tfx_federated import artifacts, beam_options, whole_files
from tfx_federated.kubeflow import compiler, entrypoint, views

FILE = "component.yaml"

_KUBEFLOW_TYPES = {
    standard_artifacts.Examples: "system.Dataset",
    standard_artifacts.InferenceResult: "system.Dataset",
    standard_artifacts.Model: "system.Model",
    artifacts.SiloExamples: "system.Dataset",
    artifacts.SiloModels: "system.Model",
}
_PARAMETER_TYPES = {str: "String", int: "Integer", float: "Float"}

# Set by the component itself, from a file that a kfp user's machine need not have.
_INTERNAL = {"module_digest"}


def _channel(artifact_type: type[types.Artifact]) -> types.Channel:
    return types.Channel(type=artifact_type)


# Each component made with what it requires: its properties then hold the defaults of all others.
_COMPONENTS: dict[str, Callable[[], base_component.BaseComponent]] = {
    "silo_partitioner": lambda: tfx_federated.SiloPartitioner(
        examples=_channel(standard_artifacts.Examples), silo_key="silo"
    ),
    "federated_trainer": lambda: tfx_federated.FederatedTrainer(
        silo_examples=_channel(artifacts.SiloExamples),
        transform_graph=_channel(standard_artifacts.TransformGraph),
        module_file=__file__,
        label_key="label",
    ),
    "fairness_evaluator": lambda: tfx_federated.FairnessEvaluator(
        examples=_channel(standard_artifacts.Examples),
        model=_channel(standard_artifacts.Model),
        silo_key="silo",
        eval_config=json_format.ParseDict(
            {"modelSpecs": [{"labelKey": "label"}], "metricsSpecs": [{"metrics": [{"className": "AUC"}]}]},
            config_pb2.EvalConfig(),
        ),
    ),
    "contribution_evaluator": lambda: tfx_federated.ContributionEvaluator(
        silo_examples=_channel(artifacts.SiloExamples),
        federated_run=_channel(artifacts.FederatedRun),
        model=_channel(standard_artifacts.Model),
    ),
    "beam_batch_inferrer": lambda: tfx_federated.BeamBatchInferrer(
        model=_channel(standard_artifacts.Model), examples=_channel(standard_artifacts.Examples), silo_key="silo"
    ),
}


def write(folder: str | os.PathLike[str], image: str) -> list[pathlib.Path]:
    """Writes the file of every component.

    Args:
        folder: Takes one folder per component, each with a `component.yaml`.
        image: The container image of the components, with a tag or a digest.

    Returns:
        The files.
    """
    files = []
    for name, make_component in _COMPONENTS.items():
        file = pathlib.Path(folder) / name / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        whole_files.write_text(str(file), _as_yaml(_specification(make_component(), name, image)))
        files.append(file)
    return files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfx-federated components`."""
    parser.add_argument("--image", required=True, help="the container image; best with a digest (name@sha256:...)")
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="DIR", help="folder to write to")
    parser.add_argument("--allow-latest", action="store_true", help="allow an image without a tag, and with 'latest'")


def run(parsed: argparse.Namespace) -> int:
    """Writes what the command line says.

    Returns:
        The exit code.

    Raises:
        CompilationError: The image's name is wrong.
    """
    compiler.require_pinned(parsed.image, parsed.allow_latest)
    for file in write(parsed.output, parsed.image):
        print(f"wrote {file}")
    return 0


def _specification(component: base_component.BaseComponent, name: str, image: str) -> structures.ComponentSpec:
    spec = component.spec
    documentation = docstring_parser.parse(inspect.getdoc(type(component).__init__) or "")
    described = {
        parameter.arg_name: " ".join((parameter.description or "").split()) for parameter in documentation.params
    }
    required = {
        parameter.name
        for parameter in inspect.signature(type(component).__init__).parameters.values()
        if parameter.default is inspect.Parameter.empty
    }
    inputs = {
        key: structures.InputSpec(
            _kubeflow_type(channel.type), optional=channel.optional, description=described.get(key)
        )
        for key, channel in spec.INPUTS.items()
    }
    inputs |= {
        key: _parameter(parameter, component.exec_properties.get(key), key in required, described.get(key))
        for key, parameter in spec.PARAMETERS.items()
        if key not in _INTERNAL
    }
    outputs = {key: structures.OutputSpec(_kubeflow_type(channel.type)) for key, channel in spec.OUTPUTS.items()}
    for key, channel in spec.OUTPUTS.items():
        for view in views.VIEWS.get(channel.type.TYPE_NAME, ()):
            title = f"{view.schema_title}@{views.SCHEMA_VERSION}"
            outputs[views.output_key(key, view)] = structures.OutputSpec(title)
    return structures.ComponentSpec(
        name=name,
        description=" ".join((inspect.getdoc(type(component)) or "").split("\n\n")[0].split()),
        inputs=inputs,
        outputs=outputs,
        implementation=structures.Implementation(
            structures.ContainerSpecImplementation(
                image=image, command=list(entrypoint.COMMAND), args=_arguments(component)
            )
        ),
    )


def _parameter(
    parameter: component_spec.ExecutionParameter, default: Any, required: bool, description: str | None
) -> structures.InputSpec:
    has_default = not required and default is not None
    return structures.InputSpec(
        _PARAMETER_TYPES[parameter.type],
        default=default if has_default else None,
        optional=not required,
        description=description,
    )


def _arguments(component: base_component.BaseComponent) -> list[str]:
    executor = component.executor_spec
    assert isinstance(executor, executor_spec.ExecutorClassSpec)
    spec = component.spec
    inputs: dict[str, Any] = {"artifacts": _tfx_types(spec.INPUTS)}
    integers = [key for key, parameter in spec.PARAMETERS.items() if parameter.type is int]
    # TFX reads the specification for nothing but the parameters that JSON has made floats.
    inputs["parameters"] = {key: {"parameterType": "NUMBER_INTEGER"} for key in integers}
    arguments = [
        *("--executor_class_path", name_utils.get_full_name(executor.executor_class)),
        *(entrypoint.EXECUTOR_INPUT_OPTION, "{{$}}"),
        *(entrypoint.INPUTS_SPEC_OPTION, json.dumps(inputs, sort_keys=True)),
        *(entrypoint.OUTPUTS_SPEC_OPTION, json.dumps({"artifacts": _tfx_types(spec.OUTPUTS)}, sort_keys=True)),
    ]
    return [*arguments, *beam_options.direct()] if isinstance(executor, executor_spec.BeamExecutorSpec) else arguments


def _tfx_types(channels: dict[str, component_spec.ChannelParameter]) -> dict[str, Any]:
    return {
        key: json_format.MessageToDict(compiler_utils.build_input_artifact_spec(types.Channel(type=channel.type)))
        for key, channel in channels.items()
    }


def _kubeflow_type(artifact_type: type[types.Artifact]) -> str:
    return f"{_KUBEFLOW_TYPES.get(artifact_type, 'system.Artifact')}@{views.SCHEMA_VERSION}"


def _as_yaml(specification: structures.ComponentSpec) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / FILE
        specification.save_to_component_yaml(str(file))
        return file.read_text("utf-8")
