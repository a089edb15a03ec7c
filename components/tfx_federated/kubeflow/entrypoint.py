"""The container command of a TFX component on open-source Kubeflow Pipelines 2.

```
python -m tfx_federated.kubeflow.entrypoint --executor_class_path CLASS
    --json_serialized_invocation_args '{{$}}' --json_serialized_inputs_spec_args SPEC [Beam options]
```
The arguments are those that TFX's compiler writes (`use_pipeline_spec_2_1=True`). TFX's own command, which it names in
their place, fails there (tensorflow/tfx issue 7768): this one repairs the executor input, lets TFX's command run the
executor, and repairs what it answers. It serves any TFX component, stock or custom, of any pipeline:

```
KubeflowV2DagRunnerConfig(default_commands=list(entrypoint.COMMAND), use_pipeline_spec_2_1=True, ...)
```
"""

from __future__ import annotations

import argparse
import logging
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

from tfx_federated import whole_files
from tfx_federated.kubeflow import executor_messages, views

COMMAND = ("python", "-m", "tfx_federated.kubeflow.entrypoint")
EXECUTOR_INPUT_OPTION = "--json_serialized_invocation_args"
INPUTS_SPEC_OPTION = "--json_serialized_inputs_spec_args"
# Ours: TFX's types of the outputs, in a component that Kubeflow Pipelines knows with its own types.
OUTPUTS_SPEC_OPTION = "--json_serialized_outputs_spec_args"

_logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one step.

    Args:
        arguments: The command line without the program's name; `sys.argv` if None.

    Returns:
        The exit code: 0, or 1 when the executor input cannot be understood. What the executor raises goes through.
    """
    parser = argparse.ArgumentParser(prog="tfx_federated.kubeflow.entrypoint", allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True, help="import path of the TFX executor class")
    parser.add_argument(EXECUTOR_INPUT_OPTION, required=True, help="the ExecutorInput, JSON")
    parser.add_argument(INPUTS_SPEC_OPTION, required=True, help="the component's ComponentInputsSpec, JSON")
    parser.add_argument(OUTPUTS_SPEC_OPTION, default="{}", help="the component's ComponentOutputsSpec, JSON")
    parsed, beam_arguments = parser.parse_known_args(arguments)
    try:
        executor_input = executor_messages.parse(
            parsed.json_serialized_invocation_args, pipeline_spec_pb2.ExecutorInput(), EXECUTOR_INPUT_OPTION
        )
        outputs_spec = executor_messages.parse(
            parsed.json_serialized_outputs_spec_args, pipeline_spec_pb2.ComponentOutputsSpec(), OUTPUTS_SPEC_OPTION
        )
        inputs_spec = executor_messages.parse(
            parsed.json_serialized_inputs_spec_args, pipeline_spec_pb2.ComponentInputsSpec(), INPUTS_SPEC_OPTION
        )
        for_tfx, view_outputs = _without_kubeflow_outputs(executor_input, outputs_spec)
        messages = executor_messages.ExecutorMessages(for_tfx, inputs_spec, outputs_spec)
    except executor_messages.ExecutorMessageError as error:
        print(f"tfx_federated.kubeflow.entrypoint: {error}", file=sys.stderr)
        return 1
    executor_output = _run_executor(parsed, messages.executor_input, beam_arguments)
    messages.restore(executor_output)
    _make_missing_folders(messages.executor_input)
    _write_views(view_outputs, messages.executor_input, executor_output)
    file = executor_input.outputs.output_file
    pathlib.Path(file).parent.mkdir(parents=True, exist_ok=True)
    whole_files.write_text(file, json_format.MessageToJson(executor_output))
    return 0


def _run_executor(
    parsed: argparse.Namespace, executor_input: pipeline_spec_pb2.ExecutorInput, beam_arguments: list[str]
) -> pipeline_spec_pb2.ExecutorOutput:
    """Hands over to TFX's command, in a folder of its own for its temporary files and its answer."""
    with tempfile.TemporaryDirectory(prefix="tfx-federated-") as folder:
        given = pipeline_spec_pb2.ExecutorInput()
        given.CopyFrom(executor_input)
        given.outputs.output_file = os.path.join(folder, "executor_output.json")
        arguments = argparse.Namespace(
            executor_class_path=parsed.executor_class_path,
            json_serialized_invocation_args=json_format.MessageToJson(given),
            json_serialized_inputs_spec_args=parsed.json_serialized_inputs_spec_args,
        )
        kubeflow_v2_run_executor.main((arguments, beam_arguments))
        answer = pathlib.Path(given.outputs.output_file).read_text("utf-8")
    return json_format.Parse(answer, pipeline_spec_pb2.ExecutorOutput(), ignore_unknown_fields=True)


def _make_missing_folders(executor_input: pipeline_spec_pb2.ExecutorInput) -> None:
    """Makes a folder of each output that the executor left without files: newer launchers fail on a missing one."""
    for artifacts in executor_input.outputs.artifacts.values():
        for artifact in artifacts.artifacts:
            if "://" not in artifact.uri and not os.path.exists(artifact.uri):
                os.makedirs(artifact.uri)


def _without_kubeflow_outputs(
    executor_input: pipeline_spec_pb2.ExecutorInput, outputs_spec: pipeline_spec_pb2.ComponentOutputsSpec
) -> tuple[pipeline_spec_pb2.ExecutorInput, dict[str, tuple[str, views.View, str]]]:
    """Splits off the outputs that no TFX component has: views for the UI, and the log that the launcher writes itself.

    Returns:
        The executor input without them; and for each view, by output key, the output that it shows, how, and its
        local path.
    """
    remaining = pipeline_spec_pb2.ExecutorInput()
    remaining.CopyFrom(executor_input)
    found: dict[str, tuple[str, views.View, str]] = {}
    for key, artifacts in executor_input.outputs.artifacts.items():
        if key in outputs_spec.artifacts:
            title = _title(outputs_spec.artifacts[key].artifact_type)
        else:
            title = _title(artifacts.artifacts[0].type)
        if title.startswith("system."):
            del remaining.outputs.artifacts[key]
        for view in views.VIEWS.get(title, ()):
            view_key = views.output_key(key, view)
            if view_key in executor_input.outputs.artifacts:
                (shown,) = executor_input.outputs.artifacts[view_key].artifacts
                found[view_key] = (key, view, executor_messages.local_path(shown))
    return remaining, found


def _title(artifact_type: pipeline_spec_pb2.ArtifactTypeSchema) -> str:
    """Returns the type's name as TFX knows it."""
    title = artifact_type.schema_title
    if artifact_type.instance_schema:
        title = yaml.safe_load(artifact_type.instance_schema).get("title", "")
    return title.removeprefix("tfx.")


def _write_views(
    outputs: dict[str, tuple[str, views.View, str]],
    executor_input: pipeline_spec_pb2.ExecutorInput,
    executor_output: pipeline_spec_pb2.ExecutorOutput,
) -> None:
    for view_key, (key, view, path) in outputs.items():
        try:
            content = view.read(executor_input.outputs.artifacts[key].artifacts[0].uri)
        except Exception:
            # What the step has computed, maybe for hours, is not lost for a page that cannot be drawn.
            _logger.exception("output %r cannot be shown: no view %r", key, view_key)
            continue
        if content is None:
            continue
        if content.text is not None:
            pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
            whole_files.write_text(path, content.text)
        metadata: dict[str, Any] = content.metadata
        executor_output.artifacts[view_key].artifacts.add().metadata.update(metadata)


if __name__ == "__main__":
    sys.exit(main())
