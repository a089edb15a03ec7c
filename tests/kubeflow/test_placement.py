import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_federated.kubeflow import placement
from tfx_federated.kubeflow.placement import (
    Accelerators,
    Placement,
    PlacementError,
    Scratch,
    SecretFiles,
    SecretVariable,
    Toleration,
    Volume,
)

EVERYTHING = Placement(
    cpu="4",
    memory="16Gi",
    accelerators=Accelerators(count=2),
    node_selector={"accelerator": "nvidia"},
    tolerations=(Toleration("sku", "gpu", "NoSchedule"),),
    shared_memory="2Gi",
    volumes=(Volume("silo-data", "/mnt/silos"),),
    scratch=(Scratch("temporary", "/tmp", size="10Gi"),),
    secret_variables=(SecretVariable("storage", "key", "STORAGE"),),
    secret_files=(SecretFiles("certificates", "/etc/certificates"),),
    labels={"azure.workload.identity/use": "true"},
    annotations={"note": "x"},
    image_pull_secrets=("registry",),
)
EVERYTHING_YAML = """
FederatedTrainer:
  cpu: 4
  memory: 16Gi
  accelerators: {count: 2}
  node_selector: {accelerator: nvidia}
  tolerations: [{key: sku, value: gpu, effect: NoSchedule}]
  shared_memory: 2Gi
  volumes: [{claim: silo-data, path: /mnt/silos}]
  scratch: [{name: temporary, path: /tmp, size: 10Gi}]
  secret_variables: [{secret: storage, key: key, variable: STORAGE}]
  secret_files: [{secret: certificates, path: /etc/certificates}]
  labels: {azure.workload.identity/use: "true"}
  annotations: {note: x}
  image_pull_secrets: [registry]
"""


def test_resources_are_in_cores_and_gigabytes():
    assert placement.resources(EVERYTHING) == {
        "cpuLimit": 4,
        "memoryLimit": 16 * 2**30 / 1e9,
        "accelerator": {"type": "nvidia.com/gpu", "count": "2"},
    }
    assert placement.resources(Placement()) == {}


def test_everything_else_is_what_kfp_kubernetes_writes():
    """The same placement written with kfp-kubernetes' own functions."""
    from google.protobuf import json_format
    from kfp import dsl, kubernetes

    @dsl.container_component
    def step():
        return dsl.ContainerSpec(image="image:1")

    @dsl.pipeline(name="p")
    def pipeline():
        task = step()
        kubernetes.add_node_selector(task, "accelerator", "nvidia")
        kubernetes.add_toleration(task, key="sku", operator="Equal", value="gpu", effect="NoSchedule")
        kubernetes.mount_pvc(task, "silo-data", "/mnt/silos")
        kubernetes.empty_dir_mount(task, "temporary", "/tmp", size_limit="10Gi")
        kubernetes.use_secret_as_env(task, "storage", {"key": "STORAGE"})
        kubernetes.use_secret_as_volume(task, "certificates", "/etc/certificates")
        kubernetes.add_pod_label(task, "azure.workload.identity/use", "true")
        kubernetes.add_pod_annotation(task, "note", "x")
        kubernetes.set_image_pull_secrets(task, ["registry"])

    spec = json_format.MessageToDict(pipeline.platform_spec)
    (expected,) = spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    found = placement.executor_config(EVERYTHING)
    assert found.pop("enabledSharedMemory") == {"volumeName": "shared-memory", "size": "2Gi"}
    assert without_parameters(expected) == found


def without_parameters(config):
    """kfp-kubernetes 2 writes names a second time, as parameters that only newer backends read."""
    config = json.loads(json.dumps(config))
    for value in config.values():
        for entry in value if isinstance(value, list) else [value]:
            for key in [key for key in entry if key.endswith("Parameter") or key == "optional"]:
                del entry[key]
    return config


def test_a_toleration_without_a_value_tolerates_any():
    config = placement.executor_config(Placement(tolerations=(Toleration("sku"),)))
    assert config == {"tolerations": [{"key": "sku", "operator": "Exists"}]}


def test_spot_adds_the_label_and_the_taint_of_aks():
    assert placement.executor_config(Placement(spot=True)) == {
        "nodeSelector": {"labels": {"kubernetes.azure.com/scalesetpriority": "spot"}},
        "tolerations": [
            {
                "key": "kubernetes.azure.com/scalesetpriority",
                "operator": "Equal",
                "value": "spot",
                "effect": "NoSchedule",
            }
        ],
    }


def test_a_file_says_the_same_as_python(tmp_path):
    file = tmp_path / "placement.yaml"
    file.write_text(EVERYTHING_YAML)
    assert placement.load(file) == {"FederatedTrainer": EVERYTHING}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "not a mapping of node ids"),
        ("Trainer: {gpu: 1}", "Trainer: unknown field 'gpu'; the fields are cpu, memory, accelerators"),
        ("Trainer: {volumes: data}", "Trainer.volumes is 'data'; it must be a list"),
        ("Trainer: {volumes: [data]}", r"Trainer.volumes\[0\] is 'data'; it must be a mapping"),
        ("Trainer: {volumes: [{claim: data}]}", r"Trainer.volumes\[0\]: .*'path'"),
        ("Trainer: {labels: {a: true}}", "Trainer.labels.a is True; it must be a string"),
        ("Trainer: {accelerators: {count: many}}", "Trainer.accelerators.count is 'many'; it must be a whole number"),
        ("Trainer: {spot: 1}", "Trainer.spot is 1; it must be true or false"),
        ("Trainer: {memory: lots}", "Trainer: 'lots' is not a positive Kubernetes quantity"),
        ("a: [", "while parsing"),
    ],
)
def test_a_wrong_file_is_told_where_it_is_wrong(tmp_path, text, message):
    file = tmp_path / "placement.yaml"
    file.write_text(text)
    with pytest.raises(PlacementError, match=message) as error:
        placement.load(file)
    assert str(file) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PlacementError, match="No such file"):
        placement.load(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Accelerators(count=0), "at least 1"),
        (lambda: Accelerators(resource="gpu"), "full name"),
        (lambda: Toleration("a", effect="Sometimes"), "'Sometimes'"),
        (lambda: Toleration("", "value"), "a value without a key"),
        (lambda: Scratch("s", "/s", medium="Disk"), "'Disk'"),
        (lambda: Placement(volumes=(Volume("a", "mnt"),)), "'mnt' is not absolute"),
        (lambda: Placement(scratch=(Scratch("a", "/minio/"),)), "'/minio/' is taken by Kubeflow Pipelines itself"),
        (lambda: Placement(volumes=(Volume("a", "/m"), Volume("b", "/m"))), "'/m' is used twice"),
        (lambda: Placement(volumes=(Volume("a", "/m"),), scratch=(Scratch("b", "/m"),)), "'/m' is used twice"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(make, message):
    with pytest.raises(PlacementError, match=message):
        make()


@pytest.mark.parametrize(
    ("placed", "field", "since"),
    [
        (Placement(tolerations=(Toleration("sku"),)), "tolerations", "2.1.0"),
        (Placement(shared_memory="1Gi"), "enabledSharedMemory", "2.3.0"),
        (Placement(volumes=(Volume("a", "/a", sub_path="b"),)), "pvcMount.subPath", "2.16.0"),
    ],
)
def test_a_backend_that_does_not_know_a_field_is_named(placed, field, since):
    config = placement.executor_config(placed)
    placement.require_known(config, since, "Trainer")
    with pytest.raises(PlacementError, match=f"node 'Trainer': {field} needs Kubeflow Pipelines {since}"):
        placement.require_known(config, "2.0.5", "Trainer")


def test_every_field_that_a_placement_leads_to_has_a_minimum_backend():
    config = placement.executor_config(EVERYTHING)
    assert config.keys() <= placement.MINIMUM_BACKEND.keys()
    placement.require_known(config, "2.3.0", "Trainer")


def test_a_version_that_is_none_is_refused():
    with pytest.raises(PlacementError, match="minimum_backend is 'newest'"):
        placement.require_known({"tolerations": []}, "newest", "Trainer")


def test_labels_that_differ_need_a_backend_that_keeps_them_apart():
    configs = {"A": {}, "B": placement.executor_config(Placement(labels={"a": "b"}))}
    placement.require_uniform_pod_metadata(configs, "2.14.0")
    placement.require_uniform_pod_metadata({"A": configs["B"], "B": configs["B"]}, "2.5.0")
    with pytest.raises(PlacementError, match="'A' and 'B' have different labels"):
        placement.require_uniform_pod_metadata(configs, "2.5.0")


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("500m", 0.5), ("1.5", 1.5), ("1k", 1000), ("1Ki", 1024), ("2Gi", 2**31), ("3T", 3e12)],
)
def test_a_quantity_is_the_number_that_kubernetes_takes_it_for(text, value):
    assert placement.quantity(text) == value


@given(st.integers(1, 10**6), st.sampled_from(["", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"]))
def test_a_quantity_grows_with_its_number_and_with_its_suffix(number, suffix):
    value = placement.quantity(f"{number}{suffix}")
    assert value == number * placement.quantity(f"1{suffix}")
    assert value >= number


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", "1K", "1 Gi", "Gi", "1GiB", "nan"])
def test_a_text_that_is_no_positive_quantity_is_named(text):
    with pytest.raises(PlacementError, match=repr(text)):
        placement.quantity(text)
