"""Translates what Kubeflow Pipelines says to a container into what TFX understands, and the answer back.

TFX reads the same messages (ExecutorInput, ExecutorOutput of kfp's `pipeline_spec.proto`) as Kubeflow Pipelines sends,
but expects of them what only Vertex Pipelines gives (tensorflow/tfx issue 7768):

- the type of each input artifact. The driver of Kubeflow Pipelines leaves it empty; the compiled pipeline knows it.
- URIs that can be opened. The launcher has brought the files to local paths.
- metadata as they were written. The metadata store wraps lists and dictionaries.
- numeric artifact ids in properties. The driver gives ids as strings; TFX hashes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils

from tfx_federated.kubeflow import launcher_paths

# The keys under which the metadata store of Kubeflow Pipelines keeps values that its own types cannot hold
# (`StructValueToMLMDValue` in kubeflow/pipelines `backend/src/v2/metadata/converter.go`).
_WRAPPERS = ("list", "struct")


class ExecutorMessageError(ValueError):
    """The executor input lacks what is needed to run the step."""


class ExecutorMessages:
    """One task's ExecutorInput as TFX wants it, and the way back for its ExecutorOutput.

    Attributes:
        executor_input: For TFX: typed artifacts with local paths. Custom paths are honoured.
    """

    def __init__(
        self,
        executor_input: pipeline_spec_pb2.ExecutorInput,
        inputs_spec: pipeline_spec_pb2.ComponentInputsSpec,
        outputs_spec: pipeline_spec_pb2.ComponentOutputsSpec | None = None,
    ) -> None:
        """Translates an executor input.

        Args:
            executor_input: As the launcher gives it; it is not changed.
            inputs_spec: The component's inputs with TFX's types, as the compiler wrote them.
            outputs_spec: The same of the outputs, where Kubeflow Pipelines knows the outputs under types of its own.

        Raises:
            ExecutorMessageError: An artifact's type is neither in the message nor in the specification.
        """
        self.executor_input = pipeline_spec_pb2.ExecutorInput()
        self.executor_input.CopyFrom(executor_input)
        self._uris = {
            key: artifacts.artifacts[0].uri
            for key, artifacts in executor_input.outputs.artifacts.items()
            if artifacts.artifacts
        }
        inputs, outputs = self.executor_input.inputs.artifacts, self.executor_input.outputs.artifacts
        # Optional inputs and parameters that nothing feeds; to TFX they are not there.
        for key in [key for key, artifacts in inputs.items() if not artifacts.artifacts]:
            del inputs[key]
        values = self.executor_input.inputs.parameter_values
        for key in [key for key, value in values.items() if value.HasField("null_value")]:
            del values[key]
        self._names = _names_of_hashes(_artifacts(inputs))
        self._paths = launcher_paths.PathMapping(
            {artifact.uri: local_path(artifact) for artifact in [*_artifacts(inputs), *_artifacts(outputs)]}
        )
        _set_types("input", inputs, inputs_spec.artifacts)
        _set_types("output", outputs, outputs_spec.artifacts if outputs_spec else {})
        for artifact in [*_artifacts(inputs), *_artifacts(outputs)]:
            artifact.uri = self._paths.to_path(artifact.uri)
            _replace_metadata(artifact, lambda value: _map_strings(_unwrapped(value), self._paths.to_path))

    def restore(self, executor_output: pipeline_spec_pb2.ExecutorOutput) -> None:
        """Translates what TFX answered, in place: URIs and artifact names as Kubeflow Pipelines knows them.

        A property without a value is left out: the launcher fails on it.
        """
        for key, artifacts in executor_output.artifacts.items():
            for artifact in artifacts.artifacts:
                artifact.uri = self._uris.get(key, self._paths.to_uri(artifact.uri))
                _replace_metadata(artifact, lambda value: _map_strings(self._named(value), self._paths.to_uri))

    def _named(self, value: Any) -> Any:
        """Returns the artifact's name if the value is the number that TFX has made of it."""
        return self._names.get(value, value) if isinstance(value, float) else value


def parse(text: str, message: Any, name: str) -> Any:
    """Reads a protobuf message from JSON.

    Args:
        text: The JSON text.
        message: The message to fill.
        name: The command line option that the text comes from.

    Returns:
        The message.

    Raises:
        ExecutorMessageError: The text is not JSON, or not of that message.
    """
    try:
        return json_format.Parse(text, message, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise ExecutorMessageError(f"{name} is not the JSON of a {message.DESCRIPTOR.name}: {error}") from error


def _artifacts(lists: Mapping[str, Any]) -> list[pipeline_spec_pb2.RuntimeArtifact]:
    return [artifact for artifacts in lists.values() for artifact in artifacts.artifacts]


def local_path(artifact: pipeline_spec_pb2.RuntimeArtifact) -> str:
    """Returns where the launcher keeps an artifact's files; its URI if the launcher does not handle it."""
    return artifact.custom_path or launcher_paths.local_path(artifact.uri) or artifact.uri


def _names_of_hashes(artifacts: Iterable[pipeline_spec_pb2.RuntimeArtifact]) -> dict[float, str]:
    """Returns the name of each artifact by the id that TFX makes of it, as a number of JSON."""
    identifiers: dict[int, str] = {}
    for artifact in artifacts:
        if artifact.name:
            kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict({"": _name_alone(artifact)}, identifiers)
    return {float(identifier): name for identifier, name in identifiers.items()}


def _name_alone(artifact: pipeline_spec_pb2.RuntimeArtifact) -> pipeline_spec_pb2.ArtifactList:
    """Returns the artifact's name in a type that TFX knows; the id follows from the name alone."""
    named = pipeline_spec_pb2.RuntimeArtifact(name=artifact.name)
    named.type.schema_title = "tfx.Model"
    return pipeline_spec_pb2.ArtifactList(artifacts=[named])


def _set_types(direction: str, lists: Mapping[str, Any], specs: Mapping[str, Any]) -> None:
    for key, artifacts in lists.items():
        for artifact in artifacts.artifacts:
            if key in specs:
                artifact.type.CopyFrom(specs[key].artifact_type)
            elif not artifact.type.instance_schema and not artifact.type.schema_title:
                raise ExecutorMessageError(
                    f"{direction} {key!r} has no type, neither in the executor input nor in the {direction}s' "
                    f"specification, which has {sorted(specs)}; compile the pipeline with tfx_federated's compiler, or "
                    "with TFX's and use_pipeline_spec_2_1=True"
                )


def _replace_metadata(artifact: pipeline_spec_pb2.RuntimeArtifact, replace: Any) -> None:
    metadata = json_format.MessageToDict(artifact.metadata)
    replaced = {key: replace(value) for key, value in metadata.items() if value is not None}
    artifact.metadata.CopyFrom(json_format.ParseDict(replaced, struct_pb2.Struct()))


def _unwrapped(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        (key,) = value
        if key in _WRAPPERS:
            return value[key]
    return value


def _map_strings(value: Any, mapped: Any) -> Any:
    if isinstance(value, str):
        return mapped(value)
    if isinstance(value, list):
        return [_map_strings(item, mapped) for item in value]
    if isinstance(value, dict):
        return {key: _map_strings(item, mapped) for key, item in value.items()}
    return value
