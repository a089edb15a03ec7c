"""Where and with what a pipeline's steps run on Kubernetes: resources, node choice, volumes, secrets.

A placement belongs to a cluster, not to a pipeline: TFX components stay free of it (a component with
`platform_config` cannot run on LocalDagRunner any more), and only the compiler reads it. In a file it is YAML, keyed by
the pipeline's node ids; `default` holds for every node that is not named:

```yaml
default:
  volumes: [{claim: pipeline-data, path: /mnt/data}]
FederatedTrainer:
  accelerators: {resource: nvidia.com/gpu, count: 1}
  memory: 56Gi
  node_selector: {accelerator: nvidia}
  tolerations: [{key: sku, value: gpu, effect: NoSchedule}]
  shared_memory: 8Gi
```
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import types
import typing
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import yaml
from google.protobuf import json_format

# The placement of the nodes that have none of their own.
DEFAULT = "default"

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGTP]|[KMGTP]i)?")
_FACTORS = {"m": Fraction(1, 1000), "k": Fraction(1000)} | {
    prefix + binary: Fraction(1024 if binary else 1000) ** power
    for power, prefix in enumerate("KMGTP", 1)
    for binary in ("", "i")
    if prefix + binary != "K"
}
_TAINT_EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")
_EMPTY_DIR_MEDIA = ("", "Memory")


# Where Kubeflow Pipelines mounts volumes into every step itself; a second mount at the same path is no pod.
_RESERVED_PATHS = ("/kfp-launcher", "/gcs", "/s3", "/minio", "/.local", "/.cache", "/.config")


class PlacementError(ValueError):
    """A placement is not what Kubernetes, or the Kubeflow Pipelines version named, can take."""


@dataclasses.dataclass(frozen=True)
class Accelerators:
    """GPUs or other devices of a container.

    Attributes:
        count: Devices, at least 1.
        resource: The extended resource that the device plugin advertises.
    """

    count: int = 1
    resource: str = "nvidia.com/gpu"

    def __post_init__(self) -> None:
        """Refuses what Kubernetes would."""
        if self.count < 1:
            raise PlacementError(f"accelerators: count is {self.count}; it must be at least 1")
        if "/" not in self.resource:
            raise PlacementError(
                f"accelerators: resource is {self.resource!r}; give the full name, such as 'nvidia.com/gpu'"
            )


@dataclasses.dataclass(frozen=True)
class Toleration:
    """Lets a pod run on tainted nodes.

    Attributes:
        key: The taint's key; empty for every key.
        value: The taint's value; None to tolerate any.
        effect: `NoSchedule`, `PreferNoSchedule`, `NoExecute`, or empty for all.
    """

    key: str
    value: str | None = None
    effect: str = ""

    def __post_init__(self) -> None:
        """Refuses what Kubernetes would."""
        if self.effect not in _TAINT_EFFECTS:
            raise PlacementError(f"toleration {self.key!r}: effect is {self.effect!r}; take one of {_TAINT_EFFECTS}")
        if not self.key and self.value is not None:
            raise PlacementError("toleration: a value without a key; name the key, or leave out the value")


@dataclasses.dataclass(frozen=True)
class Volume:
    """A PersistentVolumeClaim mounted into the container.

    Attributes:
        claim: Name of the claim, in the namespace of the run.
        path: Absolute mount path.
        sub_path: Folder of the volume to mount; empty for its root. Kubeflow Pipelines 2.16 or later.
    """

    claim: str
    path: str
    sub_path: str = ""


@dataclasses.dataclass(frozen=True)
class Scratch:
    """An empty folder that lives as long as the pod, for images with a read-only root.

    Attributes:
        name: Name of the volume.
        path: Absolute mount path.
        size: Most bytes, as a Kubernetes quantity; empty for no bound.
        medium: Empty for the node's disk, `Memory` for RAM.
    """

    name: str
    path: str
    size: str = ""
    medium: str = ""

    def __post_init__(self) -> None:
        """Refuses what Kubernetes would."""
        if self.medium not in _EMPTY_DIR_MEDIA:
            raise PlacementError(f"scratch {self.name!r}: medium is {self.medium!r}; take one of {_EMPTY_DIR_MEDIA}")
        if self.size:
            quantity(self.size)


@dataclasses.dataclass(frozen=True)
class SecretVariable:
    """A key of a Secret as an environment variable.

    Attributes:
        secret: Name of the Secret, in the namespace of the run.
        key: Key inside it.
        variable: Name of the environment variable.
    """

    secret: str
    key: str
    variable: str


@dataclasses.dataclass(frozen=True)
class SecretFiles:
    """A Secret mounted as a folder, one file per key.

    Attributes:
        secret: Name of the Secret, in the namespace of the run.
        path: Absolute mount path.
    """

    secret: str
    path: str


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where and with what one node of a pipeline runs.

    Pods run under the service account of the run, which is given at submission: Kubeflow Pipelines knows none per
    step.

    Attributes:
        cpu: Limit of CPU cores, as a Kubernetes quantity (`4`, `500m`); empty for none.
        memory: Limit of memory, as a Kubernetes quantity (`16Gi`); empty for none.
        accelerators: GPUs; None for none.
        node_selector: Labels that a node must have.
        tolerations: Taints that are no obstacle.
        spot: Run on AKS spot nodes: adds their label and toleration. The step may be evicted at any moment.
        shared_memory: Size of /dev/shm; empty for the container runtime's 64 MiB.
        volumes: Claims to mount.
        scratch: Empty folders to mount.
        secret_variables: Secrets as environment variables.
        secret_files: Secrets as files.
        labels: Labels of the pod, for example `azure.workload.identity/use: "true"`. Before Kubeflow Pipelines 2.14
            they must be the same for all nodes.
        annotations: Annotations of the pod; as labels.
        image_pull_secrets: Secrets that the kubelet pulls the image with.
    """

    cpu: str = ""
    memory: str = ""
    accelerators: Accelerators | None = None
    node_selector: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    spot: bool = False
    shared_memory: str = ""
    volumes: tuple[Volume, ...] = ()
    scratch: tuple[Scratch, ...] = ()
    secret_variables: tuple[SecretVariable, ...] = ()
    secret_files: tuple[SecretFiles, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    image_pull_secrets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses quantities and paths that Kubernetes would refuse."""
        for value in (self.cpu, self.memory, self.shared_memory):
            if value:
                quantity(value)
        mounts: list[Volume | Scratch | SecretFiles] = [*self.volumes, *self.scratch, *self.secret_files]
        paths = [mount.path for mount in mounts]
        for path in paths:
            if not path.startswith("/"):
                raise PlacementError(f"mount path {path!r} is not absolute; begin it with '/'")
            if path.rstrip("/") in _RESERVED_PATHS:
                raise PlacementError(f"mount path {path!r} is taken by Kubeflow Pipelines itself; mount somewhere else")
            if paths.count(path) > 1:
                raise PlacementError(f"mount path {path!r} is used twice; give each mount a path of its own")


# The oldest release of Kubeflow Pipelines that pipelines are compiled for, unless another is named.
DEFAULT_MINIMUM_BACKEND = "2.5.0"

# The first release that knows each field of KubernetesExecutorConfig that a placement can lead to. An older one fails
# on it or drops it silently.
MINIMUM_BACKEND = {
    "secretAsEnv": "2.0.5",
    "secretAsVolume": "2.0.5",
    "pvcMount": "2.0.5",
    "nodeSelector": "2.0.5",
    "podMetadata": "2.1.0",
    "imagePullSecret": "2.1.0",
    "tolerations": "2.1.0",
    "enabledSharedMemory": "2.3.0",
    "emptyDirMounts": "2.3.0",
    "pvcMount.subPath": "2.16.0",
}

# Before it, the pods of all steps get the labels and annotations of the first one (kubeflow/pipelines issue 11077).
_POD_METADATA_PER_NODE = "2.14.0"

_SPOT_LABEL = "kubernetes.azure.com/scalesetpriority"


def resources(placement: Placement) -> dict[str, Any]:
    """Returns the `resources` of a PipelineContainerSpec (JSON), in the fields that every backend version reads."""
    result: dict[str, Any] = {}
    if placement.cpu:
        result["cpuLimit"] = quantity(placement.cpu)
    if placement.memory:
        # In gigabytes of 10^9 bytes.
        result["memoryLimit"] = quantity(placement.memory) / 1e9
    if placement.accelerators:
        result["accelerator"] = {
            "type": placement.accelerators.resource,
            "count": str(placement.accelerators.count),
        }
    return result


def executor_config(placement: Placement) -> dict[str, Any]:
    """Returns a KubernetesExecutorConfig of kfp-kubernetes (JSON), without the fields that say nothing."""
    selector, tolerations = dict(placement.node_selector), list(placement.tolerations)
    if placement.spot:
        selector[_SPOT_LABEL] = "spot"
        tolerations.append(Toleration(_SPOT_LABEL, "spot", "NoSchedule"))
    config: dict[str, Any] = {
        "nodeSelector": {"labels": selector} if selector else None,
        "tolerations": [_toleration(toleration) for toleration in tolerations],
        "pvcMount": [
            _without_empty({"constant": volume.claim, "mountPath": volume.path, "subPath": volume.sub_path})
            for volume in placement.volumes
        ],
        "emptyDirMounts": [
            _without_empty(
                {"volumeName": each.name, "mountPath": each.path, "medium": each.medium, "sizeLimit": each.size}
            )
            for each in placement.scratch
        ],
        "secretAsEnv": [
            {"secretName": each.secret, "keyToEnv": [{"secretKey": each.key, "envVar": each.variable}]}
            for each in placement.secret_variables
        ],
        "secretAsVolume": [{"secretName": each.secret, "mountPath": each.path} for each in placement.secret_files],
        "enabledSharedMemory": {"volumeName": "shared-memory", "size": placement.shared_memory}
        if placement.shared_memory
        else None,
        "podMetadata": _without_empty({"labels": dict(placement.labels), "annotations": dict(placement.annotations)}),
        "imagePullSecret": [{"secretName": name} for name in placement.image_pull_secrets],
    }
    return _without_empty(config)


def require_known(config: Mapping[str, Any], minimum_backend: str, node: str) -> None:
    """Refuses an executor config that the oldest backend to support would not honour.

    Args:
        config: As `executor_config` returns it.
        minimum_backend: Version of Kubeflow Pipelines, such as `2.5.0`.
        node: Node id, for the message.

    Raises:
        PlacementError: A field is newer than the backend, or not in the protos.
    """
    from kfp.kubernetes import kubernetes_executor_config_pb2

    try:
        json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    except json_format.ParseError as error:
        raise PlacementError(f"node {node!r}: {error}") from error
    used = set(config)
    if any("subPath" in mount for mount in config.get("pvcMount", ())):
        used.add("pvcMount.subPath")
    for field in sorted(used):
        if _version(MINIMUM_BACKEND[field]) > _version(minimum_backend):
            raise PlacementError(
                f"node {node!r}: {field} needs Kubeflow Pipelines {MINIMUM_BACKEND[field]}, and minimum_backend is "
                f"{minimum_backend}, which would ignore it or fail; leave it out, or upgrade and raise minimum_backend"
            )


def require_uniform_pod_metadata(config_of_node: Mapping[str, Mapping[str, Any]], minimum_backend: str) -> None:
    """Refuses labels or annotations that differ between nodes where the backend cannot tell them apart.

    Args:
        config_of_node: `executor_config` of every node that runs a container.
        minimum_backend: Version of Kubeflow Pipelines, such as `2.5.0`.

    Raises:
        PlacementError: Two nodes differ.
    """
    if _version(minimum_backend) >= _version(_POD_METADATA_PER_NODE):
        return
    (first, of_first), *others = sorted(config_of_node.items())
    for node, config in others:
        if config.get("podMetadata") != of_first.get("podMetadata"):
            raise PlacementError(
                f"nodes {first!r} and {node!r} have different labels or annotations, and Kubeflow Pipelines before "
                f"{_POD_METADATA_PER_NODE} gives all nodes those of one (minimum_backend is {minimum_backend}); give "
                "all nodes the same, or upgrade and raise minimum_backend"
            )


def load(path: str | os.PathLike[str]) -> dict[str, Placement]:
    """Reads placements from a YAML file.

    Args:
        path: The file: node id (or `default`) to the fields of `Placement`.

    Returns:
        The placement of each node named.

    Raises:
        PlacementError: The file cannot be read, or is not of that form; the message names the field.
    """
    try:
        content = yaml.safe_load(pathlib.Path(path).read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PlacementError(f"placement file {path}: {error}") from error
    if not isinstance(content, dict):
        raise PlacementError(f"placement file {path} is not a mapping of node ids to placements")
    try:
        return {node: _from_yaml(Placement, fields or {}, str(node)) for node, fields in content.items()}
    except PlacementError as error:
        raise PlacementError(f"placement file {path}: {error}") from error


def quantity(text: str) -> float:
    """Returns the number that a Kubernetes quantity stands for (`500m` is 0.5, `1Gi` is 2**30).

    Raises:
        PlacementError: It is none, or not positive.
    """
    match = _QUANTITY.fullmatch(text)
    if not match or not float(match[1]):
        raise PlacementError(f"{text!r} is not a positive Kubernetes quantity, such as '2', '500m' or '16Gi'")
    value = Fraction(match[1]) * _FACTORS.get(match[2], Fraction(1))
    return int(value) if value.denominator == 1 else float(value)


def _toleration(toleration: Toleration) -> dict[str, Any]:
    operator = "Exists" if toleration.value is None else "Equal"
    fields = {"key": toleration.key, "operator": operator, "value": toleration.value, "effect": toleration.effect}
    return _without_empty(fields)


def _without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _version(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", text):
        raise PlacementError(f"minimum_backend is {text!r}; give a release of Kubeflow Pipelines, such as '2.5.0'")
    numbers = [int(part) for part in text.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _from_yaml(expected: Any, value: Any, where: str) -> Any:
    """Builds what a type says from plain YAML values; a value of another type is an error that names its place."""
    if isinstance(expected, types.UnionType):
        (expected,) = [each for each in typing.get_args(expected) if each is not types.NoneType]
    if dataclasses.is_dataclass(expected):
        return _dataclass_from_yaml(typing.cast(type, expected), value, where)
    origin = typing.get_origin(expected)
    if origin is tuple:
        item_type = typing.get_args(expected)[0]
        _require(list, value, where)
        return tuple(_from_yaml(item_type, item, f"{where}[{place}]") for place, item in enumerate(value))
    if origin is not None:
        _require(dict, value, where)
        return {name: _from_yaml(str, item, f"{where}.{name}") for name, item in value.items()}
    if expected is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    _require(expected, value, where)
    return value


def _dataclass_from_yaml(expected: type, value: Any, where: str) -> Any:
    _require(dict, value, where)
    hints = typing.get_type_hints(expected)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise PlacementError(f"{where}: unknown field {unknown[0]!r}; the fields are {', '.join(hints)}")
    fields = {name: _from_yaml(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    try:
        return expected(**fields)
    except TypeError as error:
        raise PlacementError(f"{where}: {error}") from error
    except PlacementError as error:
        raise PlacementError(f"{where}: {error}") from error


def _require(expected: type, value: Any, where: str) -> None:
    names = {dict: "a mapping", list: "a list", str: "a string", int: "a whole number", bool: "true or false"}
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise PlacementError(f"{where} is {value!r}; it must be {names[expected]}")
