"""The placements fit the clusters that they are named after."""

import re

import pytest
import yaml

from tests.manifests import rendering
from tfx_federated.kubeflow import compiler, pipeline_folder, placement

FOLDER = rendering.MANIFESTS / "placement"
POOL = (rendering.MANIFESTS / "aks" / "modules" / "pool.bicep").read_text(encoding="utf-8")
PLACEMENTS = sorted(file.stem for file in FOLDER.glob("*.yaml"))
BACKEND = "2.16.0"


@pytest.fixture(params=PLACEMENTS)
def name(request):
    return request.param


def test_every_overlay_has_a_placement_of_its_name():
    assert sorted(rendering.OVERLAYS) == PLACEMENTS


@pytest.mark.parametrize("pipeline", ["flights", "taxi"])
def test_the_pipelines_compile_with_it(name, pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(rendering.MANIFESTS.parent)
    file = tmp_path / "pipeline.yaml"
    compiler.compile_pipeline(
        pipeline_folder.load(f"pipelines/{pipeline}"),
        file,
        images="registry.example/tfx-federated:1",
        placement=placement.load(FOLDER / f"{name}.yaml"),
        minimum_backend=BACKEND,
    )
    specification, platform = yaml.safe_load_all(file.read_text())
    placed = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert placed.keys() == specification["deploymentSpec"]["executors"].keys()


def test_the_cluster_has_the_claims_and_the_gpus(name):
    claims = {each["metadata"]["name"] for each in rendering.of_kind(name, "PersistentVolumeClaim")}
    (quota,) = [each for each in rendering.of_kind(name, "ResourceQuota") if rendering.namespace(each) == "kubeflow"]
    for placed in placement.load(FOLDER / f"{name}.yaml").values():
        assert {volume.claim for volume in placed.volumes} <= claims
        if placed.accelerators:
            key = f"requests.{placed.accelerators.resource}"
            assert int(quota["spec"]["hard"][key]) >= placed.accelerators.count


@pytest.mark.parametrize("name", ["aks", "aks-gpu"])
def test_the_trainer_is_let_in_by_the_workers_and_nobody_else_has_its_label(name):
    placed = placement.load(FOLDER / f"{name}.yaml")
    trainer = {"app.kubernetes.io/component": "federated-trainer"}
    for node, each in placed.items():
        assert (trainer.items() <= each.labels.items()) == (node == "FederatedTrainer")
        assert each.labels["azure.workload.identity/use"] == "true"
    policies = [policy["spec"] for policy in rendering.of_kind(name, "NetworkPolicy")]
    peers = [peer for spec in policies for rule in spec.get("ingress", ()) for peer in rule.get("from", ())]
    assert any(peer.get("podSelector", {}).get("matchLabels") == trainer for peer in peers)


def test_steps_with_a_gpu_find_the_pool_that_has_them():
    placed = placement.load(FOLDER / "aks-gpu.yaml")
    with_gpu = [each for each in placed.values() if each.accelerators]
    assert with_gpu
    (taint,) = re.findall(r"gpuTaints = gpu \? \['([^']*)'\]", POOL)
    for each in with_gpu:
        assert {f"{t.key}={t.value}:{t.effect}" for t in each.tolerations} == {taint}
        assert each.node_selector == {"accelerator": re.search(r"accelerator: '(\w+)'", POOL)[1]}
