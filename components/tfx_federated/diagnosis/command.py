"""Checks this environment and, given a kubeconfig, a cluster and what a compiled pipeline needs of it."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tfx_federated.diagnosis import checks, environment, nodes, objects, requirements
from tfx_federated.diagnosis import cluster as clusters
from tfx_federated.kubeflow import compiled_pipeline


class DiagnosisError(RuntimeError):
    """The command line does not say what to check."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfx-federated doctor`."""
    parser.add_argument("--kubeconfig", type=pathlib.Path, metavar="FILE", help="check the cluster of this file, too")
    parser.add_argument("--context", metavar="NAME", help="a context of the kubeconfig, in place of its current one")
    parser.add_argument("--namespace", default="kubeflow", metavar="NAME", help="namespace of the runs (%(default)s)")
    parser.add_argument(
        "--service-account", default="pipeline-runner", metavar="NAME", help="that of the runs (%(default)s)"
    )
    parser.add_argument(
        "--pipeline", type=pathlib.Path, metavar="FILE", help="check what this .yaml of `tfx-federated compile` needs"
    )


def run(parsed: argparse.Namespace) -> int:
    """Prints the results of all checks.

    Returns:
        The exit code: 1 if a check failed.

    Raises:
        ValueError: The pipeline file is wrong.
        RuntimeError: The kubeconfig is wrong, or the packages for it are missing.
    """
    if parsed.context and not parsed.kubeconfig:
        raise DiagnosisError("--context belongs to a kubeconfig; name it with --kubeconfig")
    if parsed.kubeconfig or parsed.pipeline:
        _require_packages()
    pipeline = compiled_pipeline.load(parsed.pipeline) if parsed.pipeline else None
    cluster = None
    if parsed.kubeconfig:
        cluster = clusters.Cluster(parsed.kubeconfig.expanduser(), parsed.context, parsed.namespace)

    failed = _show("This environment", environment.checks())
    needed = requirements.of_pipeline(pipeline) if pipeline else None
    if pipeline and needed:
        failed |= _show(f"Pipeline {pipeline.name}", _file_checks(needed))
    if cluster:
        title = f"Cluster, namespace {parsed.namespace}"
        failed |= _show(title, _cluster_checks(cluster, parsed.service_account, pipeline, needed))
    return int(failed)


def _show(title: str, results: Iterable[checks.Check]) -> bool:
    """Shows results; returns whether one of them failed."""
    found = list(results)
    checks.show(title, found, sys.stdout)
    return any(each.status is checks.Status.FAIL for each in found)


def _require_packages() -> None:
    try:
        import kfp  # noqa: F401
        import kubernetes  # noqa: F401
    except ImportError as error:
        raise DiagnosisError(f"{error}; install tfx-federated with its extra 'tfx' to check a cluster") from error


def _file_checks(needed: requirements.Requirements) -> Iterator[checks.Check]:
    loose = [image for image in needed.images if "@sha256:" not in image]
    if loose:
        remedy = "compile with --image NAME@sha256:...: whoever can push the tag can change what runs"
        yield checks.warn("images", f"without a digest: {', '.join(loose)}", remedy)
    else:
        yield checks.ok("images", f"{len(needed.images)}, by digest")
    if needed.at_run_time:
        names = "; ".join(needed.at_run_time)
        remedy = "see to it yourself: it depends on the run's parameters or on other pods"
        yield checks.warn("not checked", names, remedy)


def _cluster_checks(
    cluster: clusters.Cluster,
    service_account: str,
    pipeline: compiled_pipeline.CompiledPipeline | None,
    needed: requirements.Requirements | None,
) -> Iterator[checks.Check]:
    reachable = clusters.reachable(cluster)
    yield reachable
    if reachable.status is checks.Status.FAIL:
        return
    accesses = [clusters.DEPLOYMENTS, clusters.CONFIG_MAPS, clusters.STORAGE_CLASSES, clusters.SERVICE_ACCOUNTS]
    if needed:
        accesses += [clusters.CLAIMS] if needed.claims else []
        accesses += [clusters.SECRETS] if needed.secrets else []
        accesses += [clusters.NODES]
    try:
        permissions, granted = clusters.permissions(cluster, accesses)
    except _request_errors() as error:
        yield _unanswered("permissions", error)
        return
    yield permissions

    def checked(access: clusters.Access, check: Callable[..., Iterable[checks.Check]], *arguments: Any) -> Any:
        return _checked(access, check, cluster, *arguments) if access in granted else []

    yield from checked(clusters.DEPLOYMENTS, _backend, pipeline)
    yield from checked(clusters.CONFIG_MAPS, clusters.artifact_root)
    yield from checked(clusters.STORAGE_CLASSES, clusters.storage_class)
    yield from checked(clusters.SERVICE_ACCOUNTS, clusters.service_account, service_account)
    if needed:
        may_read_classes = clusters.STORAGE_CLASSES in granted
        yield from checked(clusters.CLAIMS, objects.claims, needed.claims, may_read_classes)
        yield from checked(clusters.SECRETS, objects.secrets, needed.secrets)
        yield from checked(clusters.CONFIG_MAPS, objects.config_maps, needed.config_maps)
        yield from checked(clusters.NODES, nodes.steps, needed)


def _checked(
    access: clusters.Access, check: Callable[..., Iterable[checks.Check]], *arguments: Any
) -> Iterator[checks.Check]:
    """Yields what a check finds; an error of the server is a finding too, and the other checks go on."""
    try:
        yield from check(*arguments)
    except _request_errors() as error:
        yield _unanswered(str(access), error)


def _request_errors() -> tuple[type[Exception], ...]:
    import kubernetes
    import urllib3

    return kubernetes.client.ApiException, urllib3.exceptions.HTTPError


def _unanswered(subject: str, error: Exception) -> checks.Check:
    status = getattr(error, "status", None)
    finding = f"the API server answers HTTP {status}: {getattr(error, 'reason', '')}" if status else str(error)
    well = "see whether the cluster is well: kubectl get --raw='/readyz?verbose'"
    return checks.fail(subject, finding, clusters.LOGIN if status in (401, 403) else well)


def _backend(cluster: clusters.Cluster, pipeline: compiled_pipeline.CompiledPipeline | None) -> Iterator[checks.Check]:
    """Checks the version of Kubeflow Pipelines, and that it honours what the pipeline's placement says."""
    from google.protobuf import json_format

    from tfx_federated.kubeflow import placement

    found, version = clusters.kubeflow_version(cluster)
    yield from found
    if not pipeline or not version or not pipeline.configs:
        return
    configs = {
        label.removesuffix("_executor"): json_format.MessageToDict(config) for label, config in pipeline.configs.items()
    }
    try:
        for step, config in configs.items():
            known = {field: value for field, value in config.items() if field in placement.MINIMUM_BACKEND}
            placement.require_known(known, version, step)
        containers = [label for label, executor in pipeline.executors.items() if executor.HasField("container")]
        of_containers = {
            name: configs.get(name, {}) for name in (each.removesuffix("_executor") for each in containers)
        }
        placement.require_uniform_pod_metadata(of_containers, version)
    except placement.PlacementError as error:
        reason = str(error).rpartition("; ")[0].replace("minimum_backend is", "the installed one is")
        remedy = f"upgrade Kubeflow Pipelines, or compile with --minimum-backend {version} and a placement without it"
        yield checks.fail("placement", reason, remedy)
    else:
        yield checks.ok("placement", f"Kubeflow Pipelines {version} honours all of it")
