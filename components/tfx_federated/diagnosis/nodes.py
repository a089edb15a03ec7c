"""Checks that a cluster has nodes that a pipeline's steps can run on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tfx_federated.diagnosis import cluster as clusters
from tfx_federated.diagnosis import requirements
from tfx_federated.diagnosis.checks import Check, fail, ok, warn

_BLOCKING_EFFECTS = ("NoSchedule", "NoExecute")
_GIB = 2**30
_ZERO = "right if an autoscaler adds one (a pool scaled to zero); if not, the step stays Pending"


def steps(cluster: clusters.Cluster, needed: requirements.Requirements) -> Iterator[Check]:
    """Checks for each group of steps with equal needs that a node of the cluster could run them."""
    import kubernetes

    core = kubernetes.client.CoreV1Api(cluster.api_client)
    every_node = core.list_node(_request_timeout=clusters.REQUEST_SECONDS).items
    nodes = [node for node in every_node if _is_usable(node)]
    for needs, names in needed.steps.items():
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield _node_check(f"step {names[0]}{others}", needs, nodes)


def _is_usable(node: Any) -> bool:
    """Returns whether the node takes pods: it is ready, and not cordoned."""
    ready = any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or [])
    return ready and not node.spec.unschedulable


def _node_check(subject: str, needs: requirements.NodeNeeds, nodes: Sequence[Any]) -> Check:
    """Narrows the nodes down by labels, taints and size, and says at which of them none is left."""
    labeled = [node for node in nodes if dict(needs.labels).items() <= (node.metadata.labels or {}).items()]
    labels = ", ".join(f"{key}={value}" for key, value in needs.labels)
    if not labeled:
        finding = f"no node that is ready has {labels}" if labels else "no node is ready"
        return warn(subject, f"{finding}; {_ZERO}", "kubectl get nodes --show-labels; see the pool's limits")
    open_nodes = [node for node in labeled if not _untolerated(node, needs)]
    if not open_nodes:
        taint = _untolerated(labeled[0], needs)[0]
        value = f", value: {taint.value}" if taint.value else ""
        return fail(
            subject,
            f"kept off {_nodes(labeled)} {f'with {labels} ' if labels else ''}by the taint {_taint(taint)}",
            f"add to the placement: tolerations: [{{key: {taint.key}{value}, effect: {taint.effect}}}]",
        )
    for resource, amount in needs.amounts:
        largest = max(_allocatable(node, resource) for node in open_nodes)
        if largest < amount:
            return _too_small(subject, needs, resource, amount, largest)
    fitting = [node for node in open_nodes if all(_allocatable(node, name) >= most for name, most in needs.amounts)]
    if not fitting:
        finding = f"no single node has {_amounts(needs)}; {_ZERO}"
        return warn(subject, finding, "ask for less in the placement, or for a pool of larger nodes")
    wanted = _amounts(needs)
    return ok(subject, f"{_nodes(fitting)} fit{'s' * (len(fitting) == 1)} when empty{f' ({wanted})' if wanted else ''}")


def _too_small(subject: str, needs: requirements.NodeNeeds, resource: str, amount: float, largest: float) -> Check:
    wanted, most = _amount(resource, amount), _amount(resource, largest)
    if resource in ("cpu", "memory"):
        finding = f"asks for {wanted}, and the largest node that it may run on has {most} to give; {_ZERO}"
        return warn(subject, finding, "ask for less in the placement, or for a pool of larger nodes")
    if needs.labels and not largest:
        remedy = "see whether the device plugin runs on them: kubectl get daemonsets --all-namespaces"
        return fail(subject, f"the nodes with its labels have no {resource}", remedy)
    finding = f"asks for {wanted}, and the nodes that it may run on have at most {most}; {_ZERO}"
    return warn(subject, finding, "kubectl describe nodes | grep --after-context=9 Allocatable; see the pool's limits")


def _untolerated(node: Any, needs: requirements.NodeNeeds) -> list[Any]:
    return [
        taint
        for taint in node.spec.taints or []
        if taint.effect in _BLOCKING_EFFECTS and not any(each.covers(taint) for each in needs.tolerations)
    ]


def _allocatable(node: Any, resource: str) -> float:
    from kubernetes.utils import quantity

    return float(quantity.parse_quantity((node.status.allocatable or {}).get(resource, "0")))


def _taint(taint: Any) -> str:
    return f"{taint.key}{f'={taint.value}' if taint.value else ''}:{taint.effect}"


def _nodes(nodes: Sequence[Any]) -> str:
    return f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}"


def _amounts(needs: requirements.NodeNeeds) -> str:
    return ", ".join(_amount(resource, amount) for resource, amount in needs.amounts)


def _amount(resource: str, amount: float) -> str:
    if resource == "memory":
        return f"{round(amount / _GIB, 1):g} GiB"
    return f"{amount:g} {'cores' if resource == 'cpu' else resource}"
