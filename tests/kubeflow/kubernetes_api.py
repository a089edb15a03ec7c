"""The REST API of a Kubernetes cluster, as far as the doctor reads it. Every object in it fits Kubernetes' schemas."""

import kubernetes_validate
import yaml

from tests.kubeflow.http_api import Answer, Api

TOKEN = "a-token"
NAMESPACE = "kubeflow"
_SCHEMAS = "1.31"
_FOLDERS = {
    "ConfigMap": ("api/v1", "configmaps"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "Node": ("api/v1", "nodes"),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "Secret": ("api/v1", "secrets"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "StorageClass": ("apis/storage.k8s.io/v1", "storageclasses"),
}
_OF_CLUSTER = ("Node", "StorageClass")
_VERSION = {
    "major": "1",
    "minor": "31",
    "gitVersion": "v1.31.2",
    "gitCommit": "5864a4677267e6adeae276ad85882a8714d69d9d",
    "gitTreeState": "clean",
    "buildDate": "2024-10-22T20:28:14Z",
    "goVersion": "go1.22.8",
    "compiler": "gc",
    "platform": "linux/amd64",
}


class KubernetesApi(Api):
    def __init__(self, *objects):
        super().__init__()
        self.objects = {}
        self.denied = set()  # (verb, plural)
        self.instead = {}  # path -> Answer
        for each in objects:
            self.put(each)

    def put(self, each):
        kubernetes_validate.validate(each, _SCHEMAS, strict=True)
        self.objects[self.path_of(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace"))] = each

    def remove(self, kind, name, namespace=NAMESPACE):
        del self.objects[self.path_of(kind, name, None if kind in _OF_CLUSTER else namespace)]

    @staticmethod
    def path_of(kind, name, namespace=NAMESPACE):
        version, plural = _FOLDERS[kind]
        of_namespace = f"/namespaces/{namespace}" if namespace else ""
        return f"/{version}{of_namespace}/{plural}/{name}"

    def write_kubeconfig(self, path):
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.host}}],
            "users": [{"name": "me", "user": {"token": TOKEN}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def answer(self, request):
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized", "Unauthorized")
        if request.path in self.instead:
            return self.instead[request.path]
        if request.path == "/version/":
            return Answer(200, _VERSION)
        if request.path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            asked = request.body["spec"]["resourceAttributes"]
            allowed = (asked["verb"], asked["resource"]) not in self.denied
            return Answer(201, {**request.body, "status": {"allowed": allowed}})
        kind = next((kind for kind, (_, plural) in _FOLDERS.items() if f"/{plural}" in request.path), None)
        if kind is None:
            return _status(404, "NotFound", "the server could not find the requested resource")
        version, plural = _FOLDERS[kind]
        is_list = request.path == f"/{version}/{plural}"
        if (("list" if is_list else "get"), plural) in self.denied:
            return _status(403, "Forbidden", f'{plural} is forbidden: User "me" cannot read resource "{plural}"')
        if is_list:
            items = [each for path, each in self.objects.items() if path.startswith(f"{request.path}/")]
            return Answer(200, {"kind": f"{kind}List", "apiVersion": version.partition("/")[2], "items": items})
        found = self.objects.get(request.path)
        if found is None:
            return _status(404, "NotFound", f'{plural} "{request.path.rpartition("/")[2]}" not found')
        if "as=PartialObjectMetadata" in request.headers.get("Accept", ""):
            found = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": found["metadata"],
            }
        return Answer(200, found)


def _status(code, reason, message):
    content = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return Answer(code, content)


def _object(version, kind, name, **fields):
    metadata = {"name": name} if kind in _OF_CLUSTER else {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def deployment(image, available=1, namespace=NAMESPACE):
    labels = {"app": "ml-pipeline"}
    container = {"name": "ml-pipeline-api-server", "image": image}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    specification = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    status = {"replicas": 1, "observedGeneration": 1, **({"availableReplicas": available} if available else {})}
    result = _object("apps/v1", "Deployment", "ml-pipeline", spec=specification, status=status)
    return {**result, "metadata": {**result["metadata"], "namespace": namespace}}


def node(name, labels=(), taints=(), cpu="3860m", memory="12880520Ki", ready="True", cordoned=False, **devices):
    amounts = {"cpu": cpu, "memory": memory, "pods": "110", **{k.replace("_", "/"): v for k, v in devices.items()}}
    condition = {"type": "Ready", "status": ready, "reason": "KubeletReady", "message": ""}
    specification = {"providerID": f"azure:///{name}", "taints": list(taints)}
    result = _object(
        "v1",
        "Node",
        name,
        spec={**specification, **({"unschedulable": True} if cordoned else {})},
        status={"allocatable": amounts, "capacity": amounts, "conditions": [condition]},
    )
    result["metadata"]["labels"] = {"kubernetes.io/os": "linux", **dict(labels)}
    return result


def claim(name, phase="Bound", storage_class="azureblob"):
    bound = {"accessModes": ["ReadWriteMany"], "capacity": {"storage": "100Gi"}} if phase == "Bound" else {}
    specification = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "100Gi"}},
        "storageClassName": storage_class,
    }
    return _object("v1", "PersistentVolumeClaim", name, spec=specification, status={"phase": phase, **bound})


def storage_class(name, default=False, mode="Immediate"):
    result = _object("storage.k8s.io/v1", "StorageClass", name, provisioner="disk.csi.azure.com")
    if default:
        result["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {**result, "reclaimPolicy": "Delete", "volumeBindingMode": mode}


def secret(name, **data):
    return _object("v1", "Secret", name, type="Opaque", data=data)


def config_map(name, **data):
    return _object("v1", "ConfigMap", name, data=data)


def service_account(name):
    return _object("v1", "ServiceAccount", name)
