"""What documents name exists: in the same overlay, in the Bicep, or in the guide."""

import re

from tests.manifests import rendering
from tfx_federated import beam_options

AKS = rendering.MANIFESTS / "aks"
GUIDE = (rendering.REPOSITORY / "docs/azure.md").read_text(encoding="utf-8")


def names(overlay: str, kind: str) -> set[tuple[str, str]]:
    return {rendering.identity(each)[1:] for each in rendering.of_kind(overlay, kind)}


def test_pods_find_their_service_accounts_claims_and_secrets(overlay):
    for owner, template in rendering.pods(overlay):
        place = rendering.namespace(owner)
        spec = template["spec"]
        assert (place, spec["serviceAccountName"]) in names(overlay, "ServiceAccount")
        for volume in spec.get("volumes", []):
            if "persistentVolumeClaim" in volume:
                assert (place, volume["persistentVolumeClaim"]["claimName"]) in names(overlay, "PersistentVolumeClaim")
            if "secret" in volume:
                assert f"create secret generic {volume['secret']['secretName']} --namespace {place}" in GUIDE


def test_every_mount_has_its_volume_and_every_volume_its_mount(overlay):
    for owner, template in rendering.pods(overlay):
        mounted = {mount["name"] for container in rendering.containers(template) for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in template["spec"]["volumes"]}, rendering.identity(owner)


def test_every_namespaced_document_is_in_a_namespace_that_exists(overlay):
    made = {each["metadata"]["name"] for each in rendering.of_kind(overlay, "Namespace")}

    assert {rendering.namespace(each) for each in rendering.documents(overlay)} <= made | {"", "kube-system"}


def test_services_and_disruption_budgets_select_pods(overlay):
    templates = [(rendering.namespace(owner), pod) for owner, pod in rendering.pods(overlay)]
    for document in rendering.of_kind(overlay, "Service", "PodDisruptionBudget"):
        selector = document["spec"]["selector"]
        labels = selector if document["kind"] == "Service" else selector["matchLabels"]
        chosen = [
            pod
            for place, pod in templates
            if place == rendering.namespace(document) and labels.items() <= pod["metadata"]["labels"].items()
        ]
        assert len(chosen) == 1, rendering.identity(document)
        if document["kind"] == "Service":
            opened = {port["name"] for container in chosen[0]["spec"]["containers"] for port in container["ports"]}
            assert {port["targetPort"] for port in document["spec"]["ports"]} <= opened


def test_stateful_sets_have_their_headless_service(overlay):
    headless = {
        rendering.identity(each)[1:]
        for each in rendering.of_kind(overlay, "Service")
        if each["spec"]["clusterIP"] == "None"
    }

    for document in rendering.of_kind(overlay, "StatefulSet"):
        assert (rendering.namespace(document), document["spec"]["serviceName"]) in headless


def test_role_bindings_join_a_role_and_a_service_account(overlay):
    for binding in rendering.of_kind(overlay, "RoleBinding"):
        assert (rendering.namespace(binding), binding["roleRef"]["name"]) in names(overlay, "Role")
        for subject in binding["subjects"]:
            assert (subject["namespace"], subject["name"]) in names(overlay, "ServiceAccount")


def test_volumes_and_claims_name_each_other_and_silo_data_are_read_only(overlay):
    volumes = {each["metadata"]["name"]: each["spec"] for each in rendering.of_kind(overlay, "PersistentVolume")}
    bound = {}
    for claim in rendering.of_kind(overlay, "PersistentVolumeClaim"):
        if "volumeName" in claim["spec"]:
            bound[claim["spec"]["volumeName"]] = claim
    assert bound.keys() == volumes.keys()
    handles = [volume["csi"]["volumeHandle"] for volume in volumes.values()]
    assert len(handles) == len(set(handles))
    for name, volume in volumes.items():
        claim = bound[name]
        assert volume["claimRef"] == {"namespace": rendering.namespace(claim), "name": claim["metadata"]["name"]}
        read_only = name != "pipeline-data"
        assert (
            volume["accessModes"] == claim["spec"]["accessModes"] == ["ReadOnlyMany" if read_only else "ReadWriteMany"]
        )
        assert volume["csi"].get("readOnly", False) == read_only
        assert ("-o ro" in volume["mountOptions"]) == read_only
        assert volume["persistentVolumeReclaimPolicy"] == "Retain"
        assert volume["storageClassName"] == claim["spec"]["storageClassName"] == ""


def test_annotated_pods_serve_metrics_on_the_port_that_they_name():
    scraped = [
        (owner, pod)
        for owner, pod in rendering.pods("aks")
        if pod["metadata"].get("annotations", {}).get("prometheus.io/scrape") == "true"
    ]

    assert scraped
    for owner, pod in scraped:
        assert (
            owner["spec"]["flinkConfiguration"]["metrics.reporter.prom.port"]
            == pod["metadata"]["annotations"]["prometheus.io/port"]
        )


def bicep_groups() -> list[str]:
    parameters = (AKS / "main.bicepparam").read_text(encoding="utf-8")
    return re.findall(r"'([^']+)'", re.search(r"^param siloGroups = \[(.*)\]$", parameters, re.MULTILINE).group(1))


def federated_subjects() -> dict[str, list[str]]:
    """Service accounts NAMESPACE:NAME by the setting that holds their identity's client id."""
    main = (AKS / "main.bicep").read_text(encoding="utf-8")
    kubeflow = re.search(r"^var kubeflowNamespace = '(.*)'$", main, re.MULTILINE).group(1)
    lists = re.findall(r"serviceAccounts: \[(.*)\]", main)
    per_group, pipeline = (re.findall(r"'([^']+)'", each) for each in lists)
    subjects = {"pipeline-client-id": [each.replace("${kubeflowNamespace}", kubeflow) for each in pipeline]}
    for group in bicep_groups():
        subjects[f"{group}-client-id"] = [each.replace("${group}", group) for each in per_group]
    return subjects


def test_service_accounts_have_the_identities_that_azure_federates_with_them():
    settings = dict(line.split("=", 1) for line in (rendering.OVERLAYS["aks"] / "azure.env").read_text().splitlines())
    annotated = {
        ":".join(rendering.identity(each)[1:]): each["metadata"]["annotations"]["azure.workload.identity/client-id"]
        for each in rendering.of_kind("aks", "ServiceAccount")
        if "azure.workload.identity/client-id" in each["metadata"].get("annotations", {})
    }

    assert annotated == {
        account: settings[name] for name, accounts in federated_subjects().items() for account in accounts
    }


def test_a_volume_is_mounted_by_the_identity_of_the_pods_that_mount_it():
    clients = {
        rendering.identity(each)[1:]: each["metadata"].get("annotations", {}).get("azure.workload.identity/client-id")
        for each in rendering.of_kind("aks", "ServiceAccount")
    }
    for volume in rendering.of_kind("aks", "PersistentVolume"):
        place = volume["spec"]["claimRef"]["namespace"]
        account = "pipeline-runner" if place == "kubeflow" else "tff-worker"
        attributes = volume["spec"]["csi"]["volumeAttributes"]
        assert attributes["clientID"] == clients[place, account]
        assert attributes["mountWithWorkloadIdentityToken"] == "true"


def test_workers_mount_the_container_of_their_own_group_only():
    containers = {
        rendering.namespace(claim): [
            volume["spec"]["csi"]["volumeAttributes"]["containerName"]
            for volume in rendering.of_kind("aks", "PersistentVolume")
            if volume["spec"]["claimRef"]["namespace"] == rendering.namespace(claim)
        ]
        for claim in rendering.of_kind("aks", "PersistentVolumeClaim")
        if rendering.namespace(claim) != "kubeflow"
    }

    assert containers == {f"silo-{group}": [group] for group in bicep_groups()}


def test_settings_are_those_that_the_deployment_prints():
    main = (AKS / "main.bicep").read_text(encoding="utf-8")
    printed = re.findall(r"^ +(?:for .*: )?'([\w${}-]+)=\$\{", main, re.MULTILINE)
    expected = [
        name
        for each in printed
        for name in ([each] if "$" not in each else [each.replace("${group}", g) for g in bicep_groups()])
    ]

    assert [
        line.partition("=")[0] for line in (rendering.OVERLAYS["aks"] / "azure.env").read_text().splitlines()
    ] == expected


def test_the_gpu_pool_and_the_device_plugin_agree():
    pool = (AKS / "modules/pool.bicep").read_text(encoding="utf-8")
    spec = rendering.of_kind("aks-gpu", "DaemonSet")[0]["spec"]["template"]["spec"]
    taints = {f"{each['key']}={each['value']}:{each['effect']}" for each in spec["tolerations"]}

    assert taints == set(re.findall(r"\['([^']*:NoSchedule)'\]", pool))
    assert spec["nodeSelector"] == {"accelerator": re.search(r"accelerator: '(\w+)'", pool).group(1)}


def test_flink_and_its_python_workers_are_those_of_the_beam_options():
    deployment = rendering.of_kind("aks", "FlinkDeployment")[0]
    ports = {
        port["containerPort"]
        for pod in rendering.pod_templates(deployment)
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    }

    assert deployment["spec"]["flinkVersion"] == "v" + beam_options.FLINK_VERSION.replace(".", "_")
    assert f"flink:{beam_options.FLINK_VERSION}." in deployment["spec"]["image"]
    assert {f"localhost:{port}" for port in ports} == {beam_options.WORKER_POOL}
