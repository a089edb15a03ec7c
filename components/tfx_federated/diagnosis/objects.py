"""Checks of the objects in a cluster that a pipeline names: claims, Secrets, ConfigMaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tfx_federated.diagnosis import cluster as clusters
from tfx_federated.diagnosis import requirements
from tfx_federated.diagnosis.checks import Check, fail, ok, warn

# The server then sends an object's name and labels, and leaves its content out.
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


def claims(cluster: clusters.Cluster, names: Sequence[str], may_read_classes: bool) -> Iterator[Check]:
    """Checks that claims exist and have, or will get, a volume."""
    import kubernetes

    core = kubernetes.client.CoreV1Api(cluster.api_client)
    late = _late_binding_classes(cluster) if may_read_classes else set()
    for name in names:
        subject = f"claim {name}"
        describe = f"kubectl describe pvc {name} --namespace {cluster.namespace}"
        claim = cluster.find(core.read_namespaced_persistent_volume_claim, name, cluster.namespace)
        if claim is None:
            yield fail(subject, f"does not exist in {cluster.namespace}", "make it, or name another in the placement")
        elif claim.status.phase == "Bound":
            capacity = (claim.status.capacity or {}).get("storage", "unknown size")
            yield ok(subject, f"Bound, {capacity}, {', '.join(claim.status.access_modes or [])}")
        elif claim.status.phase == "Pending" and claim.spec.storage_class_name in late:
            yield ok(subject, "Pending until a step mounts it (WaitForFirstConsumer)")
        elif claim.status.phase == "Pending" and not may_read_classes:
            yield warn(subject, "Pending; its storage class may wait for a step to mount it", describe)
        else:
            yield fail(subject, f"{claim.status.phase}: the steps that mount it do not start", describe)


def _late_binding_classes(cluster: clusters.Cluster) -> set[str]:
    import kubernetes

    storage = kubernetes.client.StorageV1Api(cluster.api_client)
    classes = storage.list_storage_class(_request_timeout=clusters.REQUEST_SECONDS).items
    return {each.metadata.name for each in classes if each.volume_binding_mode == "WaitForFirstConsumer"}


def secrets(cluster: clusters.Cluster, needed: Sequence[requirements.Object]) -> Iterator[Check]:
    """Checks that Secrets exist and have the keys that steps name.

    A value never leaves this function: where no key is named, the server is asked for the Secret's name alone; the
    names of keys, however, it sends only together with the values.
    """
    for secret in needed:
        keys = _secret_keys(cluster, secret)
        yield _object(cluster, "secret", secret, keys)


def _secret_keys(cluster: clusters.Cluster, secret: requirements.Object) -> set[str] | None:
    """Returns the names of a Secret's keys; none if none is asked for; None if there is no such Secret."""
    import kubernetes

    if secret.keys:
        core = kubernetes.client.CoreV1Api(cluster.api_client)
        found = cluster.find(core.read_namespaced_secret, secret.name, cluster.namespace)
        return None if found is None else set(found.data or {})

    def read_metadata(name: str, namespace: str, **options: Any) -> Any:
        return cluster.api_client.call_api(
            "/api/v1/namespaces/{namespace}/secrets/{name}",
            "GET",
            {"name": name, "namespace": namespace},
            header_params={"Accept": _METADATA_ONLY},
            auth_settings=["BearerToken"],
            response_type="object",
            _return_http_data_only=True,
            **options,
        )

    return None if cluster.find(read_metadata, secret.name, cluster.namespace) is None else set()


def config_maps(cluster: clusters.Cluster, needed: Sequence[requirements.Object]) -> Iterator[Check]:
    """Checks that ConfigMaps exist and have the keys that steps name."""
    import kubernetes

    core = kubernetes.client.CoreV1Api(cluster.api_client)
    for config_map in needed:
        found = cluster.find(core.read_namespaced_config_map, config_map.name, cluster.namespace)
        keys = None if found is None else {*(found.data or {}), *(found.binary_data or {})}
        yield _object(cluster, "configmap", config_map, keys)


def _object(cluster: clusters.Cluster, kind: str, needed: requirements.Object, keys: set[str] | None) -> Check:
    subject = f"{kind} {needed.name}"
    if keys is None:
        return fail(subject, f"does not exist in {cluster.namespace}", f"make the {kind}, or name another one")
    missing = [key for key in needed.keys if key not in keys]
    if missing:
        has = ", ".join(sorted(keys)) or "none"
        remedy = f"add it, or name another key; {kind} {needed.name} has {has}"
        return fail(subject, f"has no key {', '.join(missing)}", remedy)
    return ok(subject, f"exists{', with ' + ', '.join(needed.keys) if needed.keys else ''}")
