"""Every document is what Kubernetes, or the definition of the custom resource, accepts; unknown fields are errors."""

import pathlib
import re
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.manifests import rendering

_PARAMETERS = (rendering.MANIFESTS / "aks/main.bicepparam").read_text(encoding="utf-8")
KUBERNETES_VERSION = re.search(r"^param kubernetesVersion = '([\d.]+)'$", _PARAMETERS, re.MULTILINE).group(1)


def _closed(schema: Any) -> Any:
    """Forbids fields that the schema does not name: Kubernetes would drop them without a word."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def _custom_resources() -> dict[tuple[str, str], dict[str, Any]]:
    """Returns the closed schema of `spec` by (apiVersion, kind)."""
    schemas = {}
    for path in (pathlib.Path(__file__).parent / "crds").glob("*.yaml"):
        definition = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        for version in definition["versions"]:
            key = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
            schemas[key] = _closed(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    return schemas


CUSTOM_RESOURCES = _custom_resources()


def validate(document: rendering.Document) -> None:
    schema = CUSTOM_RESOURCES.get((document["apiVersion"], document["kind"]))
    if schema is None:
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)
        return
    jsonschema.Draft202012Validator(schema).validate(document["spec"])
    for template in rendering.pod_templates(document):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]}
        kubernetes_validate.validate(pod, KUBERNETES_VERSION, strict=True)


def test_every_document_is_valid(overlay):
    for document in rendering.documents(overlay):
        try:
            validate(document)
        except (
            jsonschema.ValidationError,
            kubernetes_validate.ValidationError,
            kubernetes_validate.SchemaNotFoundError,
        ) as error:
            pytest.fail(f"{rendering.identity(document)}: {error}")


def test_the_component_for_the_mesh_is_valid_on_top_of_azure(tmp_path, overlay):
    kustomize = rendering.MANIFESTS / "kustomize"
    relative = pathlib.Path(*[".."] * len(tmp_path.parts[1:]), *kustomize.parts[1:])
    folder = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(relative / "overlays" / overlay)],
        "components": [str(relative / "components/mesh-mtls")],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(folder), encoding="utf-8")

    found = list(yaml.safe_load_all(rendering.rendered_text(tmp_path)))

    for document in found:
        validate(document)
    modes = {
        rendering.namespace(each): each["spec"]["mtls"]["mode"]
        for each in found
        if each["kind"] == "PeerAuthentication"
    }
    meshed = {each["metadata"]["name"] for each in found if "istio.io/rev" in each["metadata"].get("labels", {})}
    assert modes == dict.fromkeys(meshed, "STRICT")
    assert meshed == {rendering.namespace(each) for each in found if each["kind"] == "StatefulSet"}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("StatefulSet", ("spec", "template", "spec", "tolerance")),
        ("FlinkDeployment", ("spec", "flinkVersoin")),
        ("FlinkDeployment", ("spec", "taskManager", "podTemplate", "spec", "volume")),
    ],
)
def test_a_misspelt_field_is_found(kind, path):
    document = yaml.safe_load(yaml.safe_dump(rendering.of_kind("aks", kind)[0]))
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = "x"

    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate(document)
