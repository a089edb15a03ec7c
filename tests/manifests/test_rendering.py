"""Overlays render without a network, to the same bytes, with everything pinned and filled in."""

import re

import yaml

from tests.manifests import rendering

SETTINGS = dict(
    line.split("=", 1) for line in (rendering.OVERLAYS["aks"] / "azure.env").read_text(encoding="utf-8").splitlines()
)


def test_the_overlays_are_those_that_the_documents_name():
    assert set(rendering.OVERLAYS) == {"aks", "aks-gpu", "local"}


def test_rendering_twice_gives_the_same_bytes(overlay):
    folder = rendering.OVERLAYS[overlay]

    assert rendering.rendered_text(folder) == rendering.rendered_text(folder)


def test_nothing_is_defined_twice(overlay):
    identities = [rendering.identity(document) for document in rendering.documents(overlay)]

    assert len(identities) == len(set(identities))


def test_every_image_has_a_tag_or_a_digest_and_none_is_latest(overlay):
    images = {
        container["image"]
        for _, pod in rendering.pods(overlay)
        for container in rendering.containers(pod)
        if "image" in container
    }
    images |= {document["spec"]["image"] for document in rendering.of_kind(overlay, "FlinkDeployment")}

    for image in images:
        name, _, digest = image.partition("@")
        tag = name.rpartition("/")[2].partition(":")[2]
        assert tag != "latest", image
        assert tag or re.fullmatch(r"sha256:[0-9a-f]{64}", digest), image


def test_on_azure_our_image_is_named_by_its_digest():
    for overlay in ("aks", "aks-gpu"):
        ours = [
            container["image"]
            for _, pod in rendering.pods(overlay)
            for container in rendering.containers(pod)
            if "tfx-federated" in container.get("image", "")
        ]
        assert len(ours) == 3
        assert all("/tfx-federated@sha256:" in image for image in ours)


def test_every_setting_of_azure_reaches_a_document():
    text = rendering.rendered_text(rendering.OVERLAYS["aks"])

    assert "AZURE-ENV" not in text
    for name, value in SETTINGS.items():
        assert value in text, name


def test_kubeflow_pipelines_is_pinned_once_and_agrees_with_the_client():
    folder = rendering.MANIFESTS / "kustomize/kubeflow-pipelines"
    kustomizations = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in folder.glob("*/kustomization.yaml")]
    versions = {resource.partition("?ref=")[2] for each in kustomizations for resource in each["resources"]}
    lock = (rendering.REPOSITORY / "requirements/tfx.txt").read_text(encoding="utf-8")
    client = re.search(r"^kfp==(\d+\.\d+)", lock, re.MULTILINE)

    assert len(kustomizations) == 2
    assert len(versions) == 1
    assert client is not None
    assert versions.pop().startswith(client.group(1) + ".")
