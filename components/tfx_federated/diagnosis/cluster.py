"""Checks of a cluster: whether it answers, what runs in it, and where runs would put their artifacts."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from tfx_federated.diagnosis.checks import Check, fail, ok, warn
from tfx_federated.kubeflow import pipeline_root

# To connect, and between bytes of the answer; the client ignores a float that is alone.
REQUEST_SECONDS = (5.0, 10.0)
LOGIN = "log in anew (on AKS: az aks get-credentials, then kubelogin convert-kubeconfig --login azurecli)"
_SERVER = "ml-pipeline"
# Where Kubeflow puts the server of a multi-user installation.
_SERVER_NAMESPACE = "kubeflow"
_LAUNCHER_CONFIG = "kfp-launcher"
_LAUNCHER_ROOT = "defaultPipelineRoot"
_DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_VERSION = re.compile(r":v?(\d+\.\d+\.\d+)")
_OLDEST = (2, 0, 5)


class ClusterError(RuntimeError):
    """The kubeconfig names no cluster that could be asked."""


@dataclasses.dataclass(frozen=True)
class Access:
    """A right that a check needs.

    Attributes:
        verb: `get` or `list`.
        group: API group; empty for the core.
        resource: Plural of the kind.
        namespaced: Whether it is asked for one namespace, or for the cluster.
    """

    verb: str
    group: str
    resource: str
    namespaced: bool = True

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


DEPLOYMENTS = Access("get", "apps", "deployments")
CONFIG_MAPS = Access("get", "", "configmaps")
SECRETS = Access("get", "", "secrets")
CLAIMS = Access("get", "", "persistentvolumeclaims")
SERVICE_ACCOUNTS = Access("get", "", "serviceaccounts")
STORAGE_CLASSES = Access("list", "storage.k8s.io", "storageclasses", namespaced=False)
NODES = Access("list", "", "nodes", namespaced=False)


class Cluster:
    """A cluster as a kubeconfig gives access to it.

    Attributes:
        namespace: The namespace that runs are in.
        api_client: The client of `kubernetes`.
    """

    def __init__(self, kubeconfig: pathlib.Path, context: str | None, namespace: str) -> None:
        """Reads the kubeconfig; makes no request.

        Raises:
            ClusterError: The file is missing or broken, or has no such context.
        """
        import kubernetes
        import yaml

        configuration = kubernetes.client.Configuration()
        configuration.retries = 0
        try:
            kubernetes.config.load_kube_config(str(kubeconfig), context, configuration, persist_config=False)
        except (kubernetes.config.ConfigException, yaml.YAMLError, OSError, TypeError, AttributeError) as error:
            raise ClusterError(
                f"kubeconfig {kubeconfig}: {error}; name one that kubectl works with (--kubeconfig, --context)"
            ) from error
        self.host = str(configuration.host)
        self.namespace = namespace
        self.api_client = kubernetes.client.ApiClient(configuration)

    def find(self, read: Callable[..., Any], *arguments: str) -> Any | None:
        """Reads one object; returns None if it does not exist."""
        import kubernetes

        try:
            return read(*arguments, _request_timeout=REQUEST_SECONDS)
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def may(self, access: Access) -> bool:
        """Returns whether the user of the kubeconfig has a right."""
        from kubernetes import client

        attributes = client.V1ResourceAttributes(
            verb=access.verb,
            group=access.group,
            resource=access.resource,
            namespace=self.namespace if access.namespaced else None,
        )
        review = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        )
        answer = client.AuthorizationV1Api(self.api_client).create_self_subject_access_review(
            review, _request_timeout=REQUEST_SECONDS
        )
        return bool(answer.status.allowed)


def reachable(cluster: Cluster) -> Check:
    """Asks the API server for its version, within a deadline."""
    import kubernetes
    import urllib3

    try:
        version = kubernetes.client.VersionApi(cluster.api_client).get_code(_request_timeout=REQUEST_SECONDS)
    except kubernetes.client.ApiException as error:
        return fail("API server", f"{cluster.host} answers HTTP {error.status} {error.reason}", LOGIN)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        remedy = "see whether the cluster runs, and whether your address may call it (kubectl cluster-info)"
        return fail("API server", f"{cluster.host} cannot be reached: {reason}", remedy)
    return ok("API server", f"{cluster.host}, Kubernetes {version.git_version}")


def permissions(cluster: Cluster, needed: list[Access]) -> tuple[Check, set[Access]]:
    """Asks which of some rights the user has; returns what to say of it, and those rights."""
    granted = {access for access in needed if cluster.may(access)}
    missing = [str(access) for access in needed if access not in granted]
    if not missing:
        return ok("permissions", "enough for all checks"), granted
    return (
        warn(
            "permissions",
            f"you may not {', '.join(missing)}: what needs that is not checked",
            f"ask for them, or for the check by somebody who has them: kubectl auth can-i {missing[0]} "
            f"--namespace {cluster.namespace}",
        ),
        granted,
    )


def kubeflow_version(cluster: Cluster) -> tuple[list[Check], str | None]:
    """Looks for the server of Kubeflow Pipelines; returns what to say of it, and its version if it can be told."""
    found = _server(cluster)
    if found is None:
        remedy = (
            f"name the namespace of your runs (--namespace), or install Kubeflow Pipelines: see docs/azure.md; "
            f"kubectl get deployments --all-namespaces | grep {_SERVER}"
        )
        return [fail("Kubeflow Pipelines", f"no deployment {_SERVER} in {cluster.namespace}", remedy)], None
    namespace, deployment = found
    image = deployment.spec.template.spec.containers[0].image
    match = _VERSION.search(image)
    version = match[1] if match else None
    shown = f"{version or image} in {namespace}"
    if not deployment.status.available_replicas:
        remedy = f"kubectl describe deployment {_SERVER} --namespace {namespace}"
        return [fail("Kubeflow Pipelines", f"{shown}: deployment {_SERVER} has no pod that is ready", remedy)], version
    if version is None:
        remedy = "look its version up: pipelines need 2.0.5 or later, some of them a newer one"
        return [warn("Kubeflow Pipelines", f"{shown}: the image does not tell the version", remedy)], None
    if tuple(map(int, version.split("."))) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        remedy = f"upgrade: compiled pipelines are for {oldest} and later, and 1.x does not take them at all"
        return [warn("Kubeflow Pipelines", shown, remedy)], version
    return [ok("Kubeflow Pipelines", shown)], version


def _server(cluster: Cluster) -> tuple[str, Any] | None:
    import kubernetes

    apps = kubernetes.client.AppsV1Api(cluster.api_client)
    for namespace in dict.fromkeys((cluster.namespace, _SERVER_NAMESPACE)):
        try:
            deployment = cluster.find(apps.read_namespaced_deployment, _SERVER, namespace)
        except kubernetes.client.ApiException as error:
            if error.status == 403 and namespace != cluster.namespace:
                return None
            raise
        if deployment is not None:
            return namespace, deployment
    return None


def artifact_root(cluster: Cluster) -> Iterator[Check]:
    """Checks where runs put their artifacts if no pipeline root is given."""
    import kubernetes

    core = kubernetes.client.CoreV1Api(cluster.api_client)
    config = cluster.find(core.read_namespaced_config_map, _LAUNCHER_CONFIG, cluster.namespace)
    root = (config.data or {}).get(_LAUNCHER_ROOT) if config else None
    if not root:
        yield ok("artifact root", f"{_DEFAULT_ROOT} (no {_LAUNCHER_ROOT} in ConfigMap {_LAUNCHER_CONFIG})")
        return
    try:
        pipeline_root.require_supported(root)
    except pipeline_root.PipelineRootError as error:
        remedy = f"kubectl edit configmap {_LAUNCHER_CONFIG} --namespace {cluster.namespace}"
        yield fail("artifact root", str(error), remedy)
    else:
        yield ok("artifact root", f"{root} (ConfigMap {_LAUNCHER_CONFIG})")


def storage_class(cluster: Cluster) -> Iterator[Check]:
    """Checks that there is a default storage class, which Kubeflow's own claims need."""
    import kubernetes

    storage = kubernetes.client.StorageV1Api(cluster.api_client)
    classes = storage.list_storage_class(_request_timeout=REQUEST_SECONDS).items
    default = [
        each.metadata.name for each in classes if (each.metadata.annotations or {}).get(_DEFAULT_CLASS) == "true"
    ]
    if len(default) == 1:
        yield ok("storage class", f"{default[0]} is the default")
    elif default:
        yield warn(
            "storage class",
            f"several are the default: {', '.join(sorted(default))}",
            f"take {_DEFAULT_CLASS} from all but one: kubectl get storageclasses",
        )
    else:
        yield warn(
            "storage class",
            "none is the default, so claims that name none stay Pending",
            f'kubectl annotate storageclass NAME {_DEFAULT_CLASS}="true"',
        )


def service_account(cluster: Cluster, name: str) -> Iterator[Check]:
    """Checks that the service account of the runs exists."""
    import kubernetes

    core = kubernetes.client.CoreV1Api(cluster.api_client)
    if cluster.find(core.read_namespaced_service_account, name, cluster.namespace):
        yield ok("service account", name)
    else:
        yield fail(
            "service account",
            f"no {name} in {cluster.namespace}",
            "name the one that runs get (--service-account; in multi-user Kubeflow default-editor), or make it",
        )
