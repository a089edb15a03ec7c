import argparse
import base64
import io
import pathlib
import re
import socket
import subprocess
import sys

import pytest
import yaml

from tests.kubeflow import kubernetes_api as k8s
from tests.kubeflow.http_api import Answer
from tfx_federated import tff_process
from tfx_federated.diagnosis import checks, cluster, command, environment, requirements
from tfx_federated.kubeflow import compiled_pipeline

DIGEST = "registry.example/tfx-federated@sha256:" + 64 * "a"
SECRET_VALUE = base64.b64encode(b"nobody may see this").decode()
GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
TRAINER = {
    "nodeSelector": {"labels": {"accelerator": "nvidia"}},
    "tolerations": [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}],
    "pvcMount": [{"constant": "silo-data", "mountPath": "/mnt/silos"}],
    "secretAsEnv": [{"secretName": "registry", "keyToEnv": [{"secretKey": "password", "envVar": "PASSWORD"}]}],
    "secretAsVolume": [{"secretName": "certificates", "mountPath": "/etc/certificates"}],
    "configMapAsEnv": [{"configMapName": "silos", "keyToEnv": [{"configMapKey": "groups", "envVar": "GROUPS"}]}],
    "enabledSharedMemory": {"volumeName": "shared-memory", "size": "2Gi"},
}
GPU = {"cpuLimit": 2, "memoryLimit": 8.0, "accelerator": {"type": "nvidia.com/gpu", "count": "1"}}


def healthy():
    return k8s.KubernetesApi(
        k8s.deployment("ghcr.io/kubeflow/kfp-api-server:2.16.1"),
        k8s.config_map("kfp-launcher", defaultPipelineRoot="minio://mlpipeline/v2"),
        k8s.service_account("pipeline-runner"),
        k8s.storage_class("managed-csi", default=True),
        k8s.claim("silo-data"),
        k8s.secret("registry", password=SECRET_VALUE),
        k8s.secret("certificates", **{"tls.key": SECRET_VALUE}),
        k8s.config_map("silos", groups="a,b"),
        k8s.node("cpu-1"),
        k8s.node("gpu-1", {"accelerator": "nvidia"}, [GPU_TAINT], **{"nvidia.com_gpu": "1"}),
    )


def write_pipeline(path, trainer=TRAINER, resources=GPU, image=DIGEST):
    container = {"image": image, "command": ["python"]}
    executors = {
        "CsvExampleGen_executor": {"container": container},
        "FederatedTrainer_executor": {"container": {**container, "resources": resources}},
        "Baseline_executor": {"importer": {"artifactUri": {"constant": "s3://b/m"}, "typeSchema": {}}},
    }
    specification = {
        "pipelineInfo": {"name": "flights"},
        "schemaVersion": "2.1.0",
        "root": {},
        "deploymentSpec": {"executors": executors},
    }
    configs = {"FederatedTrainer_executor": trainer} if trainer else {}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": configs}}}}
    path.write_text(yaml.safe_dump_all([specification, platform]))
    return path


@pytest.fixture
def pipeline(tmp_path):
    return write_pipeline(tmp_path / "flights.yaml")


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch):
    """The local checks have tests of their own."""
    monkeypatch.setattr(environment, "checks", lambda: [checks.ok("environment", "not looked at")])
    with healthy().served() as api:
        yield api, api.write_kubeconfig(tmp_path / "kubeconfig")


def doctor(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(argument) for argument in arguments]))


def results(capsys):
    """Returns status, finding and remedy of each row of the printed tables, by subject."""
    output = capsys.readouterr().out
    rows, subject = {}, ""
    for line in output.splitlines():
        row = re.match(r"(OK|WARN|FAIL) +(\S.*?)  +(\S.*)$", line)
        if row:
            subject = row[2]
            rows[subject] = (row[1], row[3], "")
        elif "→ " in line:
            rows[subject] = (*rows[subject][:2], line.partition("→ ")[2])
    assert all(remedy for status, _, remedy in rows.values() if status != "OK"), output
    return rows


def test_a_cluster_that_has_all_is_found_well(kubeconfig, pipeline, capsys):
    api, file = kubeconfig
    assert doctor("--kubeconfig", file, "--pipeline", pipeline) == 0
    rows = results(capsys)
    assert {status for status, _, _ in rows.values()} == {"OK"}
    assert rows["API server"][1] == f"{api.host}, Kubernetes v1.31.2"
    assert rows["Kubeflow Pipelines"][1] == "2.16.1 in kubeflow"
    assert rows["placement"][1] == "Kubeflow Pipelines 2.16.1 honours all of it"
    assert rows["artifact root"][1] == "minio://mlpipeline/v2 (ConfigMap kfp-launcher)"
    assert rows["claim silo-data"][1] == "Bound, 100Gi, ReadWriteMany"
    assert rows["secret registry"][1] == "exists, with password"
    assert rows["configmap silos"][1] == "exists, with groups"
    assert rows["step CsvExampleGen"][1] == "1 node fits when empty"
    assert rows["step FederatedTrainer"][1].startswith("1 node fits when empty (2 cores, 7.5 GiB, 1 nvidia.com/gpu)")
    assert rows["images"][1] == "1, by digest"


def test_nothing_is_written_and_a_secret_is_read_only_for_its_keys(kubeconfig, pipeline, capsys):
    api, file = kubeconfig
    doctor("--kubeconfig", file, "--pipeline", pipeline)
    assert {request.method for request in api.requests if "selfsubjectaccessreviews" not in request.path} == {"GET"}
    accepted = {
        request.path.rpartition("/")[2]: request.headers["Accept"]
        for request in api.requests
        if "/secrets/" in request.path
    }
    assert accepted["registry"] == "application/json"
    assert accepted["certificates"] == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    captured = capsys.readouterr()
    assert SECRET_VALUE not in captured.out + captured.err
    assert "nobody may see" not in captured.out + captured.err


def test_only_the_rights_that_the_checks_need_are_asked_for(kubeconfig, pipeline):
    api, file = kubeconfig
    doctor("--kubeconfig", file, "--pipeline", pipeline)
    asked = [request.body["spec"]["resourceAttributes"] for request in api.requests if "accessreviews" in request.path]
    rights = {(each["verb"], each["resource"], each.get("namespace")) for each in asked}
    assert ("get", "secrets", "kubeflow") in rights
    assert ("list", "nodes", None) in rights
    assert {verb for verb, _, _ in rights} == {"get", "list"}
    api.requests.clear()
    doctor("--kubeconfig", file)
    asked = [request.body["spec"]["resourceAttributes"] for request in api.requests if "accessreviews" in request.path]
    assert {each["resource"] for each in asked} == {"deployments", "configmaps", "storageclasses", "serviceaccounts"}


def test_what_may_not_be_read_is_told_and_the_rest_goes_on(kubeconfig, pipeline, capsys):
    api, file = kubeconfig
    api.denied = {("list", "nodes"), ("get", "secrets")}
    assert doctor("--kubeconfig", file, "--pipeline", pipeline) == 0
    rows = results(capsys)
    assert rows["permissions"][:2] == ("WARN", "you may not get secrets, list nodes: what needs that is not checked")
    assert "kubectl auth can-i get secrets --namespace kubeflow" in rows["permissions"][2]
    assert rows["claim silo-data"][0] == "OK"
    assert not any(subject.startswith(("step ", "secret ")) for subject in rows)
    assert not any("/secrets/" in request.path or request.path == "/api/v1/nodes" for request in api.requests)


def change(api, kind, name, new):
    api.remove(kind, name)
    if new is not None:
        api.put(new)


IMAGE = "ghcr.io/kubeflow/kfp-api-server"


@pytest.mark.parametrize(
    ("kind", "name", "new", "subject", "status", "finding", "remedy"),
    [
        ("Deployment", "ml-pipeline", None, "Kubeflow Pipelines", "FAIL", "no deployment ml-pipeline", "--namespace"),
        (
            "Deployment",
            "ml-pipeline",
            k8s.deployment(f"{IMAGE}:2.16.1", available=0),
            "Kubeflow Pipelines",
            "FAIL",
            "has no pod that is ready",
            "kubectl describe deployment ml-pipeline",
        ),
        (
            "Deployment",
            "ml-pipeline",
            k8s.deployment("gcr.io/api:2.0.4"),
            "Kubeflow Pipelines",
            "WARN",
            "2.0.4",
            "2.0.5",
        ),
        (
            "Deployment",
            "ml-pipeline",
            k8s.deployment(DIGEST),
            "Kubeflow Pipelines",
            "WARN",
            "does not tell the version",
            "2.0.5 or later",
        ),
        (
            "Deployment",
            "ml-pipeline",
            k8s.deployment("gcr.io/ml-pipeline/api-server:2.0.5"),
            "placement",
            "FAIL",
            "node 'FederatedTrainer': enabledSharedMemory needs Kubeflow Pipelines 2.3.0",
            "upgrade Kubeflow Pipelines, or compile with --minimum-backend 2.0.5",
        ),
        (
            "ConfigMap",
            "kfp-launcher",
            k8s.config_map("kfp-launcher", defaultPipelineRoot="az://container/x"),
            "artifact root",
            "FAIL",
            "not to Azure Blob Storage",
            "kubectl edit configmap kfp-launcher",
        ),
        ("ConfigMap", "kfp-launcher", None, "artifact root", "OK", "minio://mlpipeline/v2/artifacts", ""),
        ("StorageClass", "managed-csi", None, "storage class", "WARN", "none is the default", "annotate storageclass"),
        (
            "StorageClass",
            "managed-csi",
            k8s.storage_class("managed-csi"),
            "storage class",
            "WARN",
            "none is the default",
            "annotate storageclass",
        ),
        (
            "ServiceAccount",
            "pipeline-runner",
            None,
            "service account",
            "FAIL",
            "no pipeline-runner",
            "--service-account",
        ),
        (
            "PersistentVolumeClaim",
            "silo-data",
            None,
            "claim silo-data",
            "FAIL",
            "does not exist in kubeflow",
            "make it",
        ),
        (
            "PersistentVolumeClaim",
            "silo-data",
            k8s.claim("silo-data", phase="Pending"),
            "claim silo-data",
            "FAIL",
            "Pending: the steps that mount it do not start",
            "kubectl describe pvc silo-data --namespace kubeflow",
        ),
        ("Secret", "registry", None, "secret registry", "FAIL", "does not exist", "make the secret"),
        (
            "Secret",
            "registry",
            k8s.secret("registry", user=SECRET_VALUE),
            "secret registry",
            "FAIL",
            "has no key password",
            "secret registry has user",
        ),
        ("Secret", "certificates", None, "secret certificates", "FAIL", "does not exist", "make the secret"),
        (
            "ConfigMap",
            "silos",
            k8s.config_map("silos", other="x"),
            "configmap silos",
            "FAIL",
            "has no key groups",
            "configmap silos has other",
        ),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(
    kubeconfig, pipeline, capsys, kind, name, new, subject, status, finding, remedy
):
    api, file = kubeconfig
    change(api, kind, name, new)
    code = doctor("--kubeconfig", file, "--pipeline", pipeline)
    rows = results(capsys)
    assert code == ("FAIL" in {status for status, _, _ in rows.values()})
    row = rows[subject]
    assert row[0] == status
    assert finding in row[1]
    assert remedy in row[2]


def test_several_default_storage_classes_are_told(kubeconfig, capsys):
    api, file = kubeconfig
    api.put(k8s.storage_class("standard", default=True))
    doctor("--kubeconfig", file)
    assert results(capsys)["storage class"][:2] == ("WARN", "several are the default: managed-csi, standard")


def test_a_claim_that_waits_for_its_first_step_is_well(kubeconfig, pipeline, capsys):
    api, file = kubeconfig
    change(api, "PersistentVolumeClaim", "silo-data", k8s.claim("silo-data", "Pending", "late"))
    api.put(k8s.storage_class("late", mode="WaitForFirstConsumer"))
    assert doctor("--kubeconfig", file, "--pipeline", pipeline) == 0
    assert results(capsys)["claim silo-data"][:2] == ("OK", "Pending until a step mounts it (WaitForFirstConsumer)")
    api.denied = {("list", "storageclasses")}
    doctor("--kubeconfig", file, "--pipeline", pipeline)
    assert results(capsys)["claim silo-data"][0] == "WARN"


def test_the_server_of_a_multi_user_installation_is_found(kubeconfig, capsys):
    api, file = kubeconfig
    doctor("--kubeconfig", file, "--namespace", "alice")
    assert results(capsys)["Kubeflow Pipelines"][:2] == ("OK", "2.16.1 in kubeflow")
    api.instead[api.path_of("Deployment", "ml-pipeline")] = Answer(403, {"message": "forbidden"})
    doctor("--kubeconfig", file, "--namespace", "alice")
    assert results(capsys)["Kubeflow Pipelines"][0] == "FAIL"


def gpu_node(**options):
    return k8s.node("gpu-1", **{"labels": {"accelerator": "nvidia"}, "taints": [GPU_TAINT], **options})


@pytest.mark.parametrize(
    ("new", "status", "finding", "remedy"),
    [
        (
            None,
            "WARN",
            "no node that is ready has accelerator=nvidia; right if an autoscaler adds one",
            "--show-labels",
        ),
        (
            gpu_node(ready="False", **{"nvidia.com_gpu": "1"}),
            "WARN",
            "no node that is ready has accelerator",
            "kubectl",
        ),
        (
            gpu_node(cordoned=True, **{"nvidia.com_gpu": "1"}),
            "WARN",
            "no node that is ready has accelerator",
            "kubectl",
        ),
        (gpu_node(), "FAIL", "the nodes with its labels have no nvidia.com/gpu", "device plugin"),
        (
            gpu_node(cpu="1900m", **{"nvidia.com_gpu": "1"}),
            "WARN",
            "asks for 2 cores, and the largest node that it may run on has 1.9 cores to give",
            "pool of larger nodes",
        ),
        (
            gpu_node(memory="4Gi", **{"nvidia.com_gpu": "1"}),
            "WARN",
            "asks for 7.5 GiB, and the largest",
            "larger nodes",
        ),
        (
            gpu_node(taints=[{"key": "spot", "value": "yes", "effect": "NoSchedule"}], **{"nvidia.com_gpu": "1"}),
            "FAIL",
            "kept off 1 node with accelerator=nvidia by the taint spot=yes:NoSchedule",
            "tolerations: [{key: spot, value: yes, effect: NoSchedule}]",
        ),
        (
            gpu_node(taints=[{"key": "spot", "effect": "PreferNoSchedule"}], **{"nvidia.com_gpu": "2"}),
            "OK",
            "1 node fits when empty",
            "",
        ),
    ],
)
def test_steps_without_a_node_are_told_with_the_reason(kubeconfig, pipeline, capsys, new, status, finding, remedy):
    api, file = kubeconfig
    change(api, "Node", "gpu-1", new)
    assert doctor("--kubeconfig", file, "--pipeline", pipeline) == (status == "FAIL")
    row = results(capsys)["step FederatedTrainer"]
    assert row[0] == status
    assert finding in row[1]
    assert remedy in row[2]


def test_devices_without_a_node_selector_may_come_with_the_autoscaler(kubeconfig, tmp_path, capsys):
    api, file = kubeconfig
    api.remove("Node", "gpu-1")
    pipeline = write_pipeline(tmp_path / "p.yaml", trainer={}, resources=GPU)
    assert doctor("--kubeconfig", file, "--pipeline", pipeline) == 0
    row = results(capsys)["step FederatedTrainer"]
    assert row[0] == "WARN"
    assert "asks for 1 nvidia.com/gpu, and the nodes that it may run on have at most 0 nvidia.com/gpu" in row[1]


def test_amounts_that_only_different_nodes_have_are_told(kubeconfig, tmp_path, capsys):
    api, file = kubeconfig
    change(api, "Node", "gpu-1", k8s.node("large", memory="1Gi", cpu="32"))
    pipeline = write_pipeline(tmp_path / "p.yaml", trainer={}, resources={"cpuLimit": 16, "memoryLimit": 8})
    doctor("--kubeconfig", file, "--pipeline", pipeline)
    row = results(capsys)["step FederatedTrainer"]
    assert row[0] == "WARN"
    assert "no single node has 16 cores, 7.5 GiB" in row[1]


@pytest.mark.parametrize(
    ("toleration", "covered"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "sku", "operator": "Exists"}, True),
        ({"key": "sku", "value": "gpu"}, True),
        ({"key": "sku", "value": "gpu", "effect": "NoSchedule"}, True),
        ({"key": "sku", "value": "gpu", "effect": "NoExecute"}, False),
        ({"key": "sku", "value": "cpu"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations_mean_what_they_mean_to_kubernetes(kubeconfig, tmp_path, capsys, toleration, covered):
    _, file = kubeconfig
    pipeline = write_pipeline(tmp_path / "p.yaml", trainer={**TRAINER, "tolerations": [toleration]})
    doctor("--kubeconfig", file, "--pipeline", pipeline)
    assert (results(capsys)["step FederatedTrainer"][0] == "OK") == covered


def test_what_only_the_run_decides_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(environment, "checks", lambda: [checks.ok("environment", "not looked at")])
    trainer = {
        "pvcMount": [{"pvcNameParameter": {"componentInputParameter": "claim"}, "mountPath": "/mnt"}],
        "secretAsVolume": [
            {"secretNameParameter": {"runtimeValue": {"constant": "fixed"}}, "mountPath": "/a"},
            {"secretName": "optional", "mountPath": "/b", "optional": True},
        ],
        "nodeAffinity": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}],
    }
    resources = {"resourceCpuLimit": "{{$.inputs.parameters['cpu']}}", "resourceMemoryLimit": "2Gi"}
    file = write_pipeline(tmp_path / "p.yaml", trainer, resources)
    assert doctor("--pipeline", file) == 0
    expected = "FederatedTrainer: nodeAffinity; FederatedTrainer: pvcMount; FederatedTrainer: resources"
    assert results(capsys)["not checked"][:2] == ("WARN", expected)
    needed = requirements.of_pipeline(compiled_pipeline.load(file))
    assert needed.claims == ()
    assert needed.secrets == (requirements.Object("fixed"),)
    assert [needs.amounts for needs in needed.steps] == [(), (("memory", 2 * 2**30),)]


def test_labels_that_differ_need_a_backend_that_can_tell_steps_apart(kubeconfig, tmp_path, capsys):
    api, file = kubeconfig
    change(api, "Deployment", "ml-pipeline", k8s.deployment(f"{IMAGE}:2.5.0"))
    pipeline = write_pipeline(tmp_path / "p.yaml", trainer={"podMetadata": {"labels": {"a": "b"}}})
    assert doctor("--kubeconfig", file, "--pipeline", pipeline) == 1
    row = results(capsys)["placement"]
    assert "'CsvExampleGen' and 'FederatedTrainer' have different labels" in row[1]


def test_images_without_a_digest_are_a_warning(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(environment, "checks", lambda: [checks.ok("environment", "not looked at")])
    assert doctor("--pipeline", write_pipeline(tmp_path / "p.yaml", image="name:1")) == 0
    assert results(capsys)["images"][:2] == ("WARN", "without a digest: name:1")


def test_a_token_that_is_refused_ends_the_checks_of_the_cluster(kubeconfig, capsys):
    api, file = kubeconfig
    file.write_text(file.read_text().replace(k8s.TOKEN, "expired"))
    assert doctor("--kubeconfig", file) == 1
    rows = results(capsys)
    assert rows["API server"][:2] == ("FAIL", f"{api.host} answers HTTP 401 Unauthorized")
    assert "log in anew" in rows["API server"][2]
    assert len(api.requests) == 1


def test_a_cluster_that_cannot_be_reached_is_told_at_the_first_try(kubeconfig, capsys, caplog):
    api, file = kubeconfig
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    file.write_text(file.read_text().replace(api.host, address))
    assert doctor("--kubeconfig", file) == 1
    row = results(capsys)["API server"]
    assert f"{address} cannot be reached" in row[1]
    assert "refused" in row[1]
    assert "Retrying" not in caplog.text


def test_a_cluster_that_never_answers_is_told_after_the_deadline(kubeconfig, capsys, monkeypatch):
    api, file = kubeconfig
    monkeypatch.setattr(cluster, "REQUEST_SECONDS", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        file.write_text(file.read_text().replace(api.host, f"http://127.0.0.1:{silent.getsockname()[1]}"))
        assert doctor("--kubeconfig", file) == 1
    assert "timed out" in results(capsys)["API server"][1]


def test_an_error_of_one_request_leaves_the_other_checks(kubeconfig, capsys):
    api, file = kubeconfig
    api.instead["/apis/storage.k8s.io/v1/storageclasses"] = Answer(500, {"kind": "Status", "message": "etcd"})
    assert doctor("--kubeconfig", file) == 1
    rows = results(capsys)
    assert rows["list storageclasses"][0] == "FAIL"
    assert "HTTP 500" in rows["list storageclasses"][1]
    assert rows["service account"][0] == "OK"


def test_without_a_login_nothing_of_the_cluster_is_checked(kubeconfig, capsys):
    api, file = kubeconfig
    api.instead["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] = Answer(403, {"message": "anonymous"})
    assert doctor("--kubeconfig", file) == 1
    rows = results(capsys)
    assert "HTTP 403" in rows["permissions"][1]
    assert "log in anew" in rows["permissions"][2]
    assert "storage class" not in rows


@pytest.mark.parametrize(
    ("content", "context", "message"),
    [
        (None, None, "kubeconfig .*missing"),
        ("a: [", None, "kubeconfig .*; name one that kubectl works with"),
        ("hello", None, "kubeconfig .*; name one that kubectl works with"),
        ("", None, "kubeconfig .*; name one that kubectl works with"),
        ("good", "other", "kubeconfig .*other.*; name one that kubectl works with"),
    ],
)
def test_a_kubeconfig_that_is_wrong_is_refused_at_once(kubeconfig, tmp_path, content, context, message):
    api, good = kubeconfig
    file = tmp_path / "missing"
    if content is not None:
        file.write_text(good.read_text() if content == "good" else content)
    with pytest.raises(RuntimeError, match=f"(?s){message}"):
        doctor("--kubeconfig", file, *(["--context", context] if context else []))
    assert not api.requests


def test_a_context_needs_a_kubeconfig():
    with pytest.raises(command.DiagnosisError, match="--context belongs to a kubeconfig"):
        doctor("--context", "here")


def test_this_environment_is_well():
    by_subject = {check.subject: check for check in environment.checks()}
    assert not [check for check in by_subject.values() if check.status is checks.Status.FAIL]
    assert by_subject["tfx"].finding.startswith("1.21.")
    assert by_subject["TFF interpreter"].finding.endswith("tensorflow-federated 0.87.0")
    assert "tensorflow 2.14" in by_subject["tff_runtime"].finding
    assert by_subject["separation"].status is checks.Status.OK


def test_an_environment_without_tff_is_told(monkeypatch):
    monkeypatch.setenv(tff_process.PYTHON_VARIABLE, sys.executable)
    by_subject = {check.subject: check for check in environment.checks()}
    check = by_subject["TFF interpreter"]
    assert check.status is checks.Status.FAIL
    assert "has no tensorflow-federated; 0.87.0 is needed" in check.finding
    assert "tfx-federated install-tff DIR" in check.remedy
    assert "tff_runtime" not in by_subject


def test_a_tff_interpreter_that_cannot_import_the_runtime_is_told(monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text(
        "#!/bin/sh\ncase \"$2\" in *tff_runtime*) echo 'ImportError: libcuda' >&2; exit 1;; *) echo 0.87.0;; esac\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv(tff_process.PYTHON_VARIABLE, str(broken))
    by_subject = {check.subject: check for check in environment.checks()}
    assert by_subject["tff_runtime"].status is checks.Status.FAIL
    assert by_subject["tff_runtime"].finding == "cannot be imported there: ImportError: libcuda"


@pytest.mark.parametrize(
    ("script", "status", "finding"),
    [
        ("echo 'Tesla T4, 15360 MiB, 550.54.15'", checks.Status.OK, "Tesla T4, 15360 MiB, 550.54.15"),
        ("echo 'NVIDIA-SMI has failed'; exit 9", checks.Status.WARN, "nvidia-smi: NVIDIA-SMI has failed"),
    ],
)
def test_a_gpu_is_seen_through_nvidia_smi(monkeypatch, tmp_path, script, status, finding):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv(tff_process.PYTHON_VARIABLE, sys.executable)
    (check,) = [check for check in environment.checks() if check.subject == "GPU"]
    assert (check.status, check.finding) == (status, finding)


def test_without_the_extra_the_doctor_starts_and_says_so(tmp_path):
    """`python -S` sees no installed package, as an interpreter without the extra."""
    components = str(pathlib.Path(checks.__file__).parents[2])
    script = (
        f"import argparse, sys; sys.path.insert(0, {components!r}); from tfx_federated.diagnosis import command; "
        "parser = argparse.ArgumentParser(); command.add_arguments(parser); sys.exit(command.run(parser.parse_args()))"
    )
    start = [sys.executable, "-S", "-c", script]
    completed = subprocess.run(start, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert completed.returncode == 1, completed.stderr
    assert "pip install 'tfx-federated[tfx]'" in completed.stdout
    completed = subprocess.run([*start, "--pipeline", "p.yaml"], capture_output=True, text=True, check=False)
    assert "install tfx-federated with its extra 'tfx' to check a cluster" in completed.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


RESULTS = [checks.ok("disk", "41 GiB"), checks.fail("claim silo-data", "does not exist " * 8, "make it " * 12)]


def test_on_a_terminal_the_table_has_its_width_and_colors(monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    checks.show("Cluster", RESULTS, out)
    assert "\x1b[1;31mFAIL  \x1b[0mclaim silo-data" in out.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert max(map(len, plain.splitlines())) <= 70
    assert plain.count("does not exist") == 8
    monkeypatch.setenv("NO_COLOR", "1")
    uncolored = Terminal()
    checks.show("Cluster", RESULTS, uncolored)
    assert uncolored.getvalue() == plain


def test_in_a_file_each_finding_is_one_line():
    out = io.StringIO()
    checks.show("Cluster", RESULTS, out)
    assert out.getvalue().splitlines() == [
        "Cluster",
        "OK    disk             41 GiB",
        f"FAIL  claim silo-data  {'does not exist ' * 7}does not exist",
        f"                       → {'make it ' * 11}make it",
        "",
    ]
