"""What TFX can express and open-source Kubeflow Pipelines 2 cannot run.

TFX's compiler lets most of it through, and the run then fails on the cluster, or does something else than on
LocalDagRunner. Each finding names the node and a way out. `docs/kubeflow.md` has the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf import json_format
from tfx.components.example_gen import component as example_gen
from tfx.components.infra_validator.component import InfraValidator
from tfx.dsl.components.base import base_component, base_driver, base_node
from tfx.dsl.components.common import importer, resolver
from tfx.dsl.experimental.conditionals import conditional
from tfx.dsl.placeholder import placeholder
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.proto import example_gen_pb2
from tfx.types import channel as tfx_channel
from tfx.types import standard_component_specs

_NODE_ID = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
_PIPELINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_SPAN_PATTERN = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(:\d+)?\}")


class UnsupportedPipelineError(ValueError):
    """The pipeline uses what Kubeflow Pipelines cannot run; the message lists every such use."""


def require_supported(pipeline: tfx_pipeline.Pipeline) -> None:
    """Refuses a pipeline that would not run on Kubeflow Pipelines as it does elsewhere.

    Raises:
        UnsupportedPipelineError: Names each node, what is wrong with it and the way out.
    """
    found = list(_of_pipeline(pipeline))
    for node in pipeline.components:
        found += [f"node {node.id!r}: {problem}" for problem in _of_node(node)]
        if isinstance(node, importer.Importer) and conditional.get_predicates(node, pipeline.dsl_context_registry):
            found.append(f"node {node.id!r}: an Importer cannot stand under a condition; put it before the Cond")
    if found:
        name = pipeline.pipeline_info.pipeline_name
        raise UnsupportedPipelineError(
            f"pipeline {name!r} cannot run on open-source Kubeflow Pipelines:\n"
            + "\n".join(f"- {each}" for each in found)
        )


def _of_pipeline(pipeline: tfx_pipeline.Pipeline) -> Iterator[str]:
    name, root = pipeline.pipeline_info.pipeline_name, pipeline.pipeline_info.pipeline_root
    if not _PIPELINE_NAME.fullmatch(name):
        yield f"the name {name!r} does not match {_PIPELINE_NAME.pattern}; rename the pipeline"
    if root:
        yield (
            f"the pipeline root {root!r} would be dropped, and user modules packaged into it would not be found; "
            "create the pipeline with pipeline_root='', and give the root when you submit it"
        )


def _of_node(node: base_node.BaseNode) -> Iterator[str]:
    if not _NODE_ID.fullmatch(node.id):
        yield f"its id does not match {_NODE_ID.pattern}; give it another with .with_id(...)"
    if isinstance(node, tfx_pipeline.Pipeline):
        yield "a pipeline inside a pipeline; put its components into this one, or compile two pipelines"
        return
    yield from _of_kind(node)
    yield from _of_channels(node)
    for name, value in node.exec_properties.items():
        if isinstance(value, placeholder.Placeholder):
            yield (
                f"{name} is read from another component's output at run time, and TFX's compiler names a task that "
                "does not exist; give a constant or a RuntimeParameter, or pass the value as an artifact"
            )
    if isinstance(node, base_component.BaseComponent) and node.platform_config is not None:
        yield "it has a platform_config, with which LocalDagRunner fails; use the compiler's placement instead"
    if isinstance(node, example_gen.FileBasedExampleGen):
        yield from _of_input_config(node)


def _of_kind(node: base_node.BaseNode) -> Iterator[str]:
    if isinstance(node, resolver.Resolver):
        yield (
            "Kubeflow Pipelines has no resolvers; import a fixed artifact with Importer(source_uri=...), for a "
            "baseline model the folder that Pusher wrote"
        )
    elif isinstance(node, InfraValidator):
        yield "TFX's compiler cannot build InfraValidator; validate after the push, outside of the pipeline"
    elif node.driver_class is not base_driver.BaseDriver and not isinstance(
        node, (example_gen.FileBasedExampleGen, importer.Importer)
    ):
        yield (
            f"its driver {node.driver_class.__name__} would never run; put that work into the executor, or into a "
            "component before it"
        )


def _of_channels(node: base_node.BaseNode) -> Iterator[str]:
    for name, channel in node.inputs.items():
        if not isinstance(channel, tfx_channel.Channel):
            yield (
                f"input {name!r} is a {type(channel).__name__}; only the output of one component can be an input: "
                "give a component an input per producer"
            )
    for name, channel in node.outputs.items():
        try:
            compiler_utils.build_output_artifact_spec(channel)
        except (KeyError, ValueError) as error:
            yield (
                f"output {name!r} of type {channel.type.__name__}: {error}; give the type a name such as "
                "'package.TypeName' and custom properties in place of PROPERTIES"
            )


def _of_input_config(node: example_gen.FileBasedExampleGen) -> Iterator[str]:
    value = node.exec_properties.get(standard_component_specs.INPUT_CONFIG_KEY)
    if not isinstance(value, str):
        return
    config = json_format.Parse(value, example_gen_pb2.Input(), ignore_unknown_fields=True)
    for split in config.splits:
        if _SPAN_PATTERN.search(split.pattern):
            yield (
                f"the pattern {split.pattern!r} needs the driver of ExampleGen, which never runs; name the files "
                "without {SPAN}, {VERSION} and dates, for example through a RuntimeParameter for input_base"
            )
    if node.exec_properties.get(standard_component_specs.RANGE_CONFIG_KEY):
        yield "range_config needs the driver of ExampleGen, which never runs; give the folder of one span"
