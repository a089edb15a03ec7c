"""Renders the overlays of manifests/kustomize with kubectl, and finds things in what comes out."""

import functools
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MANIFESTS = REPOSITORY / "manifests"
OVERLAYS = {path.parent.name: path.parent for path in (MANIFESTS / "kustomize/overlays").glob("*/kustomization.yaml")}

Document = dict[str, Any]


def kubectl() -> str | None:
    """Returns kubectl's path: the one in this environment, or on PATH; None without one."""
    beside = pathlib.Path(sys.executable).parent / "kubectl"
    return str(beside) if beside.exists() else shutil.which("kubectl")


def rendered_text(folder: pathlib.Path) -> str:
    """Returns what `kubectl kustomize` makes of a folder. No network: a remote base fails."""
    program = kubectl()
    assert program is not None
    result = subprocess.run(
        [program, "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@functools.cache
def documents(overlay: str) -> list[Document]:
    """Returns the documents of an overlay. Callers must not change them."""
    return list(yaml.safe_load_all(rendered_text(OVERLAYS[overlay])))


def of_kind(overlay: str, *kinds: str) -> list[Document]:
    """Returns the documents of these kinds."""
    return [document for document in documents(overlay) if document["kind"] in kinds]


def namespace(document: Document) -> str:
    """Returns the document's namespace; empty for what has none."""
    return document["metadata"].get("namespace", "")


def identity(document: Document) -> tuple[str, str, str]:
    """Returns kind, namespace and name."""
    return document["kind"], namespace(document), document["metadata"]["name"]


def merged_pod(first: Document, second: Document) -> Document:
    """Returns two pod templates in one, as the Flink operator merges them: lists by the items' names."""
    result = dict(first)
    for key, value in second.items():
        mine = result.get(key)
        if isinstance(value, dict) and isinstance(mine, dict):
            result[key] = merged_pod(mine, value)
        elif isinstance(value, list) and isinstance(mine, list):
            items = {item["name"]: item for item in mine}
            for item in value:
                items[item["name"]] = merged_pod(items.get(item["name"], {}), item)
            result[key] = list(items.values())
        else:
            result[key] = value
    return result


def pod_templates(document: Document) -> Iterator[Document]:
    """Yields the pods that a document makes, as pod templates with the labels that they will have."""
    spec = document.get("spec", {})
    if document["kind"] == "FlinkDeployment":
        common = spec["podTemplate"]
        for role in ("jobManager", "taskManager"):
            template = merged_pod(common, spec[role].get("podTemplate", {}))
            template["spec"] = {"serviceAccountName": spec["serviceAccount"], **template["spec"]}
            # Flink labels its pods with the name of the deployment.
            template["metadata"] = {**template["metadata"], "labels": {"app": document["metadata"]["name"]}}
            yield template
    elif "template" in spec:
        yield spec["template"]


def pods(overlay: str) -> list[tuple[Document, Document]]:
    """Returns (owner, pod template) for every pod of an overlay."""
    return [(document, template) for document in documents(overlay) for template in pod_templates(document)]


def containers(template: Document) -> list[Document]:
    """Returns a pod template's containers, the first ones included."""
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def selects(selector: Document, labels: Document) -> bool:
    """Returns whether a label selector that has only matchLabels matches."""
    assert set(selector) <= {"matchLabels"}, selector
    return selector.get("matchLabels", {}).items() <= labels.items()
