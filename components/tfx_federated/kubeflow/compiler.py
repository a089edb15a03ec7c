"""Compiles TFX pipelines for open-source Kubeflow Pipelines 2.

TFX's own compiler (`KubeflowV2DagRunner`) does the work. What it lacks is added to its result: our entrypoint,
environment variables, placement on nodes, caching per task, defaults of parameters, what the UI shows; and everything
is checked before a file is written.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import yaml
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import base_node
from tfx.orchestration import data_types
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from tfx_federated import whole_files
from tfx_federated.kubeflow import compiled_pipeline, entrypoint, limitations, views
from tfx_federated.kubeflow import placement as placements

# The image, or placement, of the nodes that have none of their own.
DEFAULT = placements.DEFAULT

# Names the node to its container. Kubeflow Pipelines takes two steps with the same container for one, and gives both
# the resources and outputs of the first.
NODE_VARIABLE = "TFX_FEDERATED_NODE"

_TAG = re.compile(r":(?P<tag>[\w][\w.-]{0,127})$")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_SECRET_NAME = re.compile(
    r"passw|secret|token|credential|connection_string|(account|access|api|sas)_?key", re.IGNORECASE
)

_logger = logging.getLogger(__name__)


class CompilationError(ValueError):
    """An argument of the compiler is wrong."""


def compile_pipeline(
    pipeline: tfx_pipeline.Pipeline,
    output: str | os.PathLike[str],
    *,
    images: str | Mapping[str, str],
    placement: Mapping[str, placements.Placement] | None = None,
    environment: Mapping[str, str] | None = None,
    caching: Mapping[str, bool] | None = None,
    minimum_backend: str = placements.DEFAULT_MINIMUM_BACKEND,
    allow_latest: bool = False,
) -> None:
    """Writes a pipeline as the YAML that Kubeflow Pipelines takes.

    The file holds a PipelineSpec of schema 2.1.0 and, where there are placements, a PlatformSpec. The same pipeline and
    arguments give the same bytes.

    Args:
        pipeline: A TFX pipeline, created with `pipeline_root=""`: the root of a run is given at its submission.
        output: The `.yaml` file to write.
        images: The container image of every step, or images by node id, with that of the others under `default`. Each
            needs a tag or, better, a digest. The image has `tfx_federated` and what the step imports.
        placement: Where steps run, by node id, with `default` for the others.
        environment: Environment variables of every step. No secrets: those belong into a placement.
        caching: Whether to reuse the results of an equal former step, by node id. As the pipeline's `enable_cache` says
            for the others, except an ExampleGen: it reads files that Kubeflow Pipelines does not look at, so that it
            always runs.
        minimum_backend: The oldest release of Kubeflow Pipelines that the file is for, at least 2.0.5.
        allow_latest: Allows images without a tag and with the tag `latest`, for which two runs of the same file can run
            different code.

    Raises:
        UnsupportedPipelineError: The pipeline uses what Kubeflow Pipelines cannot run.
        PlacementError: A placement is wrong, or newer than `minimum_backend`.
        CompilationError: Another argument is wrong.
        CompiledPipelineError: The result is not what Kubeflow Pipelines takes.
    """
    file = pathlib.Path(output)
    if file.suffix not in (".yaml", ".yml"):
        raise CompilationError(f"output {file} is not named .yaml, without which Kubeflow Pipelines takes no upload")
    limitations.require_supported(pipeline)
    nodes = {node.id: node for node in pipeline.components}
    image_of_node = _images(images, nodes, allow_latest)
    for option, mapping in (("placement", placement), ("caching", caching)):
        _require_nodes(option, mapping or {}, nodes)
    _require_no_secrets(environment or {}, pipeline)

    specification = _compile_with_tfx(pipeline, image_of_node)
    _set_parameter_defaults(specification, pipeline)
    configs: dict[str, dict[str, Any]] = {}
    for node_id, node in nodes.items():
        task = specification["root"]["dag"]["tasks"][node_id]
        _repair_condition(task)
        _set_caching(task, node, (caching or {}).get(node_id))
        executor = specification["deploymentSpec"]["executors"][f"{node_id}_executor"]
        if "container" not in executor:
            continue
        of_node = (placement or {}).get(node_id) or (placement or {}).get(DEFAULT) or placements.Placement()
        variables = {**(environment or {}), NODE_VARIABLE: node_id}
        _complete_container(executor["container"], variables, of_node)
        outputs = specification["components"][node_id].get("outputDefinitions", {})
        add_view_outputs(outputs.get("artifacts", {}), node)
        configs[node_id] = placements.executor_config(of_node)
        placements.require_known(configs[node_id], minimum_backend, node_id)
    if configs:
        placements.require_uniform_pod_metadata(configs, minimum_backend)
    _write(file, specification, {f"{node_id}_executor": config for node_id, config in configs.items() if config})


def add_view_outputs(artifacts: dict[str, Any], node: base_node.BaseNode) -> None:
    """Adds the outputs that the Kubeflow UI shows to a component's outputs.

    Args:
        artifacts: `outputDefinitions.artifacts` of the node's ComponentSpec, JSON; changed in place.
        node: The TFX component.
    """
    for key, channel in node.outputs.items():
        for view in views.of_output(channel.type.TYPE_NAME, node.exec_properties):
            artifacts[views.output_key(key, view)] = {
                "artifactType": {"schemaTitle": view.schema_title, "schemaVersion": views.SCHEMA_VERSION}
            }


def require_pinned(image: str, allow_latest: bool) -> None:
    """Refuses an image reference that can be another image tomorrow.

    Args:
        image: `name:tag` or `name@sha256:<64 hexadecimal digits>`.
        allow_latest: Allows a missing tag, and the tag `latest`.

    Raises:
        CompilationError: It is no image reference, or not pinned.
    """
    if _DIGEST.search(image):
        return
    if not image or re.search(r"\s|@", image):
        raise CompilationError(f"images: {image!r} is no image reference; give 'name:tag' or 'name@sha256:<64 digits>'")
    tag = _TAG.search(image)
    if (not tag or tag["tag"] == "latest") and not allow_latest:
        raise CompilationError(
            f"images: {image!r} can be another image tomorrow; give a tag other than 'latest', better a digest "
            "('name@sha256:...'), or allow it (allow_latest=True, --allow-latest)"
        )
    _logger.warning("image %s is named without a digest: whoever can push the tag can change what runs", image)


def _compile_with_tfx(pipeline: tfx_pipeline.Pipeline, image_of_node: Mapping[str, str]) -> dict[str, Any]:
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
        default_image=dict(image_of_node),
        default_commands=list(entrypoint.COMMAND),
        use_pipeline_spec_2_1=True,
    )
    job = kubeflow_v2_dag_runner.KubeflowV2DagRunner(config=config).run(pipeline, write_out=False)
    return dict(job["pipelineSpec"])


def _images(images: str | Mapping[str, str], nodes: Mapping[str, Any], allow_latest: bool) -> dict[str, str]:
    """Returns the image of each node."""
    by_node = {DEFAULT: images} if isinstance(images, str) else dict(images)
    _require_nodes("images", by_node, nodes)
    missing = sorted(set(nodes) - set(by_node))
    if missing and DEFAULT not in by_node:
        raise CompilationError(f"images: no image for node {missing[0]!r}; name one, or one for all under {DEFAULT!r}")
    for image in sorted(set(by_node.values())):
        require_pinned(image, allow_latest)
    return {node: by_node.get(node, by_node.get(DEFAULT, "")) for node in nodes}


def _require_nodes(option: str, mapping: Mapping[str, Any], nodes: Mapping[str, Any]) -> None:
    known = {*nodes, DEFAULT} if option != "caching" else set(nodes)
    unknown = sorted(set(mapping) - known)
    if unknown:
        raise CompilationError(f"{option}: the pipeline has no node {unknown[0]!r}; its nodes are {', '.join(nodes)}")


def _require_no_secrets(environment: Mapping[str, str], pipeline: tfx_pipeline.Pipeline) -> None:
    """Refuses what is named like a secret: everyone who sees the pipeline would read it."""
    for name in environment:
        if _SECRET_NAME.search(name):
            raise CompilationError(
                f"environment: {name} looks like a secret, and the compiled pipeline is readable to everyone who sees "
                "it; put it into a Kubernetes Secret and name that in the placement (secret_variables)"
            )
    for argument in pipeline.beam_pipeline_args or ():
        name = str(argument).split("=")[0]
        if _SECRET_NAME.search(name):
            raise CompilationError(
                f"beam_pipeline_args: {name} looks like a secret, and the arguments stand in the compiled pipeline; "
                "let Beam take it from an environment variable, set through the placement (secret_variables)"
            )


def _set_parameter_defaults(specification: dict[str, Any], pipeline: tfx_pipeline.Pipeline) -> None:
    """Writes the defaults of runtime parameters, which TFX leaves out: a run would have to name each of them."""
    definitions = specification["root"].get("inputDefinitions", {}).get("parameters", {})
    for node in pipeline.components:
        for value in node.exec_properties.values():
            if isinstance(value, data_types.RuntimeParameter) and value.default is not None:
                definitions[value.name]["defaultValue"] = value.default


def _repair_condition(task: dict[str, Any]) -> None:
    """Makes a condition name the task's inputs.

    TFX names an output that a condition asks by its producer (`_Producer.key`), and adds an input of that name, but for
    an output that already is an input of the task: then the condition names an input that the task does not have.
    """
    trigger = task.get("triggerPolicy", {})
    for key, source in task.get("inputs", {}).get("artifacts", {}).items():
        produced = source["taskOutputArtifact"]
        implicit = f"_{produced['producerTask']}.{produced['outputArtifactKey']}"
        if "condition" in trigger and implicit not in task["inputs"]["artifacts"]:
            named = trigger["condition"].replace(f"inputs.artifacts['{implicit}']", f"inputs.artifacts['{key}']")
            trigger["condition"] = named


def _set_caching(task: dict[str, Any], node: base_node.BaseNode, cached: bool | None) -> None:
    if isinstance(node, FileBasedExampleGen) and cached is None:
        cached = False
    if cached is not None:
        task["cachingOptions"] = {"enableCache": True} if cached else {}


def _complete_container(
    container: dict[str, Any], environment: Mapping[str, str], placement: placements.Placement
) -> None:
    # Only Vertex Pipelines runs the drivers that TFX names here.
    container.pop("lifecycle", None)
    container["env"] = [{"name": name, "value": environment[name]} for name in sorted(environment)]
    resources = placements.resources(placement)
    if resources:
        container["resources"] = resources


def _write(file: pathlib.Path, specification: dict[str, Any], executors: dict[str, Any]) -> None:
    platform: dict[str, Any] = {}
    if executors:
        platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
    compiled_pipeline.parse(specification, platform, file)
    version = importlib.metadata.version("tfx-federated")
    name = specification["pipelineInfo"]["name"]
    header = f"# Pipeline {name}, compiled by tfx-federated {version}: change the pipeline and compile it again.\n"
    documents = [specification, platform] if platform else [specification]
    file.parent.mkdir(parents=True, exist_ok=True)
    whole_files.write_text(str(file), header + yaml.safe_dump_all(documents, sort_keys=True))
