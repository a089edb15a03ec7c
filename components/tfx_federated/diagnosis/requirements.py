"""What a compiled pipeline needs of a cluster, read out of its two documents."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

from tfx_federated.kubeflow import compiled_pipeline

_BYTES_PER_GIGABYTE = 1e9
_NODE_FIELDS = {"node_affinity": "nodeAffinity", "pod_affinity": "podAffinity"}


@dataclasses.dataclass(frozen=True)
class Object:
    """A Secret or ConfigMap that steps name.

    Attributes:
        name: Its name.
        keys: Keys that must be in it. Empty where it is mounted whole.
    """

    name: str
    keys: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Toleration:
    """A taint that is no obstacle, as in the pod.

    Attributes:
        key: The taint's key; empty for all.
        operator: `Exists` or `Equal`.
        value: The taint's value.
        effect: The taint's effect; empty for all.
    """

    key: str
    operator: str
    value: str
    effect: str

    def covers(self, taint: Any) -> bool:
        """Returns whether a node's taint is tolerated."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.operator == "Exists":
            return not self.key or self.key == taint.key
        return self.key == taint.key and self.value == (taint.value or "")


@dataclasses.dataclass(frozen=True)
class NodeNeeds:
    """What a node must be like to run a step.

    Attributes:
        labels: Labels that it must have, sorted.
        tolerations: Taints that it may have.
        amounts: What must be free on an empty node, by resource name: cores, bytes, devices; as in the pod's limits.
    """

    labels: tuple[tuple[str, str], ...]
    tolerations: tuple[Toleration, ...]
    amounts: tuple[tuple[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Requirements:
    """What a pipeline needs of a cluster.

    Attributes:
        claims: PersistentVolumeClaims, by name.
        secrets: Secrets, without the optional ones.
        config_maps: ConfigMaps, without the optional ones.
        steps: Names of the steps, by what they need of a node.
        images: Container images.
        at_run_time: What is named by a parameter of the run, or otherwise cannot be told from the file.
    """

    claims: tuple[str, ...]
    secrets: tuple[Object, ...]
    config_maps: tuple[Object, ...]
    steps: Mapping[NodeNeeds, tuple[str, ...]]
    images: tuple[str, ...]
    at_run_time: tuple[str, ...]


def of_pipeline(pipeline: compiled_pipeline.CompiledPipeline) -> Requirements:
    """Returns what a pipeline needs of a cluster.

    Args:
        pipeline: The compiled pipeline.

    Returns:
        The requirements of all its steps.
    """
    reader = _Reader()
    steps: dict[NodeNeeds, list[str]] = collections.defaultdict(list)
    images = set()
    for label, executor in pipeline.executors.items():
        if not executor.HasField("container"):
            continue
        step = label.removesuffix("_executor")
        images.add(executor.container.image)
        if _is_placeholder(str(executor.container.resources)):
            reader.at_run_time.add(f"{step}: resources")
        config = pipeline.configs.get(label)
        if config is not None:
            reader.read(step, config)
        steps[_node_needs(executor.container.resources, config)].append(step)
    return Requirements(
        claims=tuple(sorted(reader.claims)),
        secrets=tuple(Object(name, tuple(sorted(keys))) for name, keys in sorted(reader.secrets.items())),
        config_maps=tuple(Object(name, tuple(sorted(keys))) for name, keys in sorted(reader.config_maps.items())),
        steps={needs: tuple(names) for needs, names in steps.items()},
        images=tuple(sorted(images)),
        at_run_time=tuple(sorted(reader.at_run_time)),
    )


class _Reader:
    """Collects what executor configs name."""

    def __init__(self) -> None:
        self.claims: set[str] = set()
        self.secrets: dict[str, set[str]] = collections.defaultdict(set)
        self.config_maps: dict[str, set[str]] = collections.defaultdict(set)
        self.at_run_time: set[str] = set()

    def read(self, step: str, config: Any) -> None:
        for mount in config.pvc_mount:
            self.claims.update(self._name(step, "pvcMount", mount.constant, mount.pvc_name_parameter))
        for mount in [*config.secret_as_volume, *config.secret_as_env, *config.image_pull_secret]:
            if not getattr(mount, "optional", False):
                for name in self._name(step, "secret", mount.secret_name, mount.secret_name_parameter):
                    self.secrets[name].update(entry.secret_key for entry in getattr(mount, "key_to_env", ()))
        for mount in [*config.config_map_as_volume, *config.config_map_as_env]:
            if not mount.optional:
                for name in self._name(step, "configMap", mount.config_map_name, mount.config_map_name_parameter):
                    self.config_maps[name].update(entry.config_map_key for entry in getattr(mount, "key_to_env", ()))
        for field, name in _NODE_FIELDS.items():
            if getattr(config, field):
                self.at_run_time.add(f"{step}: {name}")
        if config.node_selector.HasField("node_selector_json"):
            self.at_run_time.add(f"{step}: nodeSelector")
        if any(toleration.HasField("toleration_json") for toleration in config.tolerations):
            self.at_run_time.add(f"{step}: tolerations")

    def _name(self, step: str, field: str, name: str, parameter: Any) -> list[str]:
        """Returns the name, if it can be told before the run."""
        name = name or parameter.runtime_value.constant.string_value
        if not name:
            self.at_run_time.add(f"{step}: {field}")
        return [name] if name else []


def _node_needs(resources: Any, config: Any) -> NodeNeeds:
    amounts = {"cpu": _amount(resources, "cpu", 1), "memory": _amount(resources, "memory", _BYTES_PER_GIGABYTE)}
    accelerator = resources.accelerator
    device = accelerator.resource_type or accelerator.type
    if device and not _is_placeholder(device):
        count = accelerator.resource_count or str(accelerator.count)
        amounts[device] = 1 if _is_placeholder(count) else float(count)
    return NodeNeeds(
        labels=tuple(sorted(config.node_selector.labels.items())) if config else (),
        tolerations=tuple(
            Toleration(each.key, each.operator or "Equal", each.value, each.effect)
            for each in (config.tolerations if config else ())
        ),
        amounts=tuple(sorted((name, amount) for name, amount in amounts.items() if amount)),
    )


def _amount(resources: Any, kind: str, unit: float) -> float:
    """Returns what the scheduler reserves: the request, or the limit where there is none; 0 for neither."""
    from kubernetes.utils import quantity

    for usage in ("request", "limit"):
        text = getattr(resources, f"resource_{kind}_{usage}")
        if text and not _is_placeholder(text):
            return float(quantity.parse_quantity(text))
        number = getattr(resources, f"{kind}_{usage}")
        if number:
            return float(number) * unit
    return 0


def _is_placeholder(text: str) -> bool:
    """Returns whether the text stands for a parameter of the run."""
    return "{{" in text
