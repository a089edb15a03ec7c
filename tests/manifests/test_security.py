"""Least privilege: what the containers may do, who reaches whom, and that no secret is written down."""

import pytest

from tests.manifests import rendering

# The one that the documentation of AKS has run as root: it writes to the kubelet's socket directory.
ROOT = {"nvidia-device-plugin"}

# What the Flink operator gives its main container by jobManager.resource and taskManager.resource.
SIZED_BY_THE_OPERATOR = {"flink-main-container"}

# Pods that Kubeflow Pipelines brings, by the labels that policies of ours select.
FOREIGN_PODS = [("kubeflow", {"app": "seaweedfs"})]

TRAINER = {"app.kubernetes.io/component": "federated-trainer"}
WORKER = {"app.kubernetes.io/component": "tff-worker"}


def test_no_secret_is_in_a_manifest(overlay):
    assert rendering.of_kind(overlay, "Secret") == []


def test_containers_run_with_the_least_privilege(overlay):
    for owner, template in rendering.pods(overlay):
        pod = template["spec"].get("securityContext", {})
        for container in rendering.containers(template):
            where = (*rendering.identity(owner), container["name"])
            mine = container["securityContext"]
            user = mine.get("runAsUser", pod.get("runAsUser"))
            assert (user == 0) == (container["name"] in ROOT), where
            assert user == 0 or mine.get("runAsNonRoot", pod.get("runAsNonRoot")) is True, where
            assert mine["allowPrivilegeEscalation"] is False, where
            assert mine["readOnlyRootFilesystem"] is True, where
            assert mine["capabilities"] == {"drop": ["ALL"]}, where
            assert "privileged" not in mine, where
            assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, where


def test_containers_name_what_they_need_and_may_take(overlay):
    for owner, template in rendering.pods(overlay):
        for container in rendering.containers(template):
            if container["name"] not in SIZED_BY_THE_OPERATOR:
                where = (*rendering.identity(owner), container["name"])
                assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), where
                assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), where


def test_only_pods_that_speak_to_kubernetes_get_its_token(overlay):
    speaking = {
        subject["name"] for binding in rendering.of_kind(overlay, "RoleBinding") for subject in binding["subjects"]
    }

    for owner, template in rendering.pods(overlay):
        mounts = template["spec"].get("automountServiceAccountToken", True)
        assert mounts == (template["spec"]["serviceAccountName"] in speaking), rendering.identity(owner)


def test_no_role_has_a_wildcard_or_reads_secrets(overlay):
    assert rendering.of_kind(overlay, "ClusterRole", "ClusterRoleBinding") == []
    for role in rendering.of_kind(overlay, "Role"):
        for rule in role["rules"]:
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"]), rule
            assert "secrets" not in rule["resources"]


def silo_namespaces(overlay: str) -> set[str]:
    return {rendering.namespace(each) for each in rendering.of_kind(overlay, "StatefulSet")}


def allowed_ports(overlay: str, source: tuple[str, dict], target: tuple[str, dict]) -> set | None:
    """Ports of `target` that policies open to `source`; both (namespace, labels). None: no policy, so every port."""
    policies = [
        policy["spec"]
        for policy in rendering.of_kind(overlay, "NetworkPolicy")
        if rendering.namespace(policy) == target[0]
        and "Ingress" in policy["spec"]["policyTypes"]
        and rendering.selects(policy["spec"]["podSelector"], target[1])
    ]
    if not policies:
        return None
    ports: set = set()
    for policy in policies:
        for rule in policy.get("ingress", []):
            if any(_peer_matches(peer, source, target[0]) for peer in rule["from"]):
                ports |= {port["port"] for port in rule.get("ports", [{"port": "every"}])}
    return ports


def _peer_matches(peer: dict, source: tuple[str, dict], namespace: str) -> bool:
    assert set(peer) <= {"namespaceSelector", "podSelector"}
    if "namespaceSelector" in peer:
        in_namespace = rendering.selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": source[0]})
    else:
        in_namespace = source[0] == namespace
    return in_namespace and rendering.selects(peer.get("podSelector", {}), source[1])


@pytest.mark.parametrize(
    ("source", "ports"),
    [
        (("kubeflow", TRAINER), {"grpc"}),
        (("kubeflow", {"app": "anything"}), set()),
        (("kubeflow", {}), set()),
        (("default", TRAINER), set()),
        (("OWN", WORKER), set()),
        (("OTHER", WORKER), set()),
    ],
)
def test_only_the_trainer_reaches_the_workers(overlay, source, ports):
    groups = silo_namespaces(overlay)
    assert len(groups) == 2
    for group in groups:
        named = {"OWN": group, "OTHER": (groups - {group}).pop()}
        origin = (named.get(source[0], source[0]), source[1])
        assert allowed_ports(overlay, origin, (group, WORKER)) == ports


def test_workers_reach_nothing_by_network(overlay):
    for group in silo_namespaces(overlay):
        denying = [
            policy["spec"]
            for policy in rendering.of_kind(overlay, "NetworkPolicy")
            if rendering.namespace(policy) == group and "Egress" in policy["spec"]["policyTypes"]
        ]
        assert denying == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]


@pytest.mark.parametrize("overlay", ["aks", "aks-gpu"])
def test_steps_submit_to_flink_and_nobody_else_does(overlay):
    flink = ("kubeflow", {"app": "beam-flink"})
    step = ("kubeflow", {"pipelines.kubeflow.org/v2_component": "true"})

    assert allowed_ports(overlay, step, flink) == {8081}
    assert allowed_ports(overlay, ("flink-operator", {}), flink) == {8081}
    assert allowed_ports(overlay, ("kube-system", {}), flink) == {9249}
    assert allowed_ports(overlay, ("kubeflow", {"app": "anything"}), flink) == set()
    assert allowed_ports(overlay, ("default", {"pipelines.kubeflow.org/v2_component": "true"}), flink) == set()


def test_every_policy_selects_a_pod_that_exists(overlay):
    own = [(rendering.namespace(owner), pod["metadata"]["labels"]) for owner, pod in rendering.pods(overlay)]

    for policy in rendering.of_kind(overlay, "NetworkPolicy"):
        assert any(
            place == rendering.namespace(policy) and rendering.selects(policy["spec"]["podSelector"], labels)
            for place, labels in [*own, *FOREIGN_PODS]
        ), rendering.identity(policy)


def test_namespaces_of_silos_are_restricted_and_bounded(overlay):
    levels = {
        each["metadata"]["name"]: each["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for each in rendering.of_kind(overlay, "Namespace")
    }
    bounded = {rendering.namespace(each) for each in rendering.of_kind(overlay, "LimitRange")}
    quotas = {rendering.namespace(each): each["spec"]["hard"] for each in rendering.of_kind(overlay, "ResourceQuota")}

    for group in silo_namespaces(overlay):
        assert levels[group] == "restricted"
        assert group in bounded
        assert {"pods", "limits.cpu", "limits.memory"} <= quotas[group].keys()
    assert levels["kubeflow"] == "baseline"


@pytest.mark.parametrize(("overlay", "gpus"), [("local", "0"), ("aks", "0"), ("aks-gpu", "3")])
def test_gpus_are_for_the_overlay_that_has_them(overlay, gpus):
    quota = next(
        each for each in rendering.of_kind(overlay, "ResourceQuota") if rendering.namespace(each) == "kubeflow"
    )
    plugins = [each["metadata"]["name"] for each in rendering.of_kind(overlay, "DaemonSet")]

    assert quota["spec"]["hard"]["requests.nvidia.com/gpu"] == gpus
    assert plugins == (["nvidia-device-plugin"] if gpus != "0" else [])
