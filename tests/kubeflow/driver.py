"""What the driver of Kubeflow Pipelines tells the launcher of a task, as each release says it.

The driver itself is Go code that the module proxy does not serve, so this follows its source
(`executor_inputs/README.md` names the files read). Artifacts go from producer to consumer through ML Metadata's own
store, as there.
"""

import dataclasses
import json
import uuid

import yaml
from google.protobuf import json_format, struct_pb2
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

SESSION = {
    "Provider": "minio",
    "Params": {
        "accessKeyKey": "accesskey",
        "disableSSL": "true",
        "endpoint": "minio-service.kubeflow:9000",
        "fromEnv": "false",
        "region": "minio",
        "secretKeyKey": "secretkey",
        "secretName": "mlpipeline-minio-artifact",
    },
}
FOLDERS = {"minio://": "/minio/", "s3://": "/s3/", "gs://": "/gcs/"}


@dataclasses.dataclass(frozen=True)
class Release:
    """In what the drivers differ.

    Attributes:
        salted: A URI has a random part, so that a repeated task writes elsewhere.
        session: An artifact names the object store that it lies in.
        logs: The task's log is an output.
        task_root: The outputs have names, and the answer lies beside them.
        typed: Artifacts are kept by the API server, with type and JSON metadata, not by ML Metadata.
    """

    salted: bool = True
    session: bool = True
    logs: bool = True
    task_root: bool = True
    typed: bool = False


RELEASES = {
    "2.0.5": Release(salted=False, session=False, logs=False, task_root=False),
    "2.5.0": Release(task_root=False),
    "2.17": Release(),
    "head": Release(typed=True),
}


class MetadataStore:
    """What the backend remembers of artifacts, for all runs."""

    def __init__(self, release):
        self.release = release
        config = metadata_store_pb2.ConnectionConfig()
        config.fake_database.SetInParent()
        self._store = metadata_store.MetadataStore(config)
        self._typed = 0

    def keep(self, key, artifact, metadata):
        """Keeps an artifact of a task; returns it as a consumer gets it."""
        if self.release.typed:
            return self._keep_typed(artifact, metadata)
        written = metadata_store_pb2.Artifact(
            type_id=self._store.put_artifact_type(metadata_store_pb2.ArtifactType(name=title(artifact["type"]))),
            uri=artifact["uri"],
            state=metadata_store_pb2.Artifact.LIVE,
        )
        extra = {"display_name": key}
        if self.release.session:
            extra["store_session_info"] = json.dumps(SESSION, separators=(",", ":"))
        for name, value in {**extra, **metadata}.items():
            written.custom_properties[name].CopyFrom(_to_store(value))
        (identifier,) = self._store.put_artifacts([written])
        (read,) = self._store.get_artifacts_by_id([identifier])
        return {
            "name": str(read.id),
            "type": {"instanceSchema": ""},
            "uri": read.uri,
            "metadata": {name: _from_store(value) for name, value in read.custom_properties.items()},
        }

    def _keep_typed(self, artifact, metadata):
        """As the API server keeps it: JSON as it is, and the whole schema for a title."""
        self._typed += 1
        kind = {"schemaTitle": artifact["type"].get("schemaTitle") or artifact["type"]["instanceSchema"]}
        name = f"0e2b7f0c-6a5b-4c8e-9f52-{self._typed:012d}"
        return {"name": name, "type": kind, "uri": artifact["uri"], "metadata": metadata}


class Driver:
    """The driver of one run.

    Attributes:
        artifacts: What tasks have put out, as a consumer gets it, by task and output key.
    """

    def __init__(self, specification, store, run_root, parameters=None, salt=None):
        self._specification = specification
        self._store = store
        self._root = run_root
        defaults = specification["root"].get("inputDefinitions", {}).get("parameters", {})
        self._parameters = {name: item["defaultValue"] for name, item in defaults.items() if "defaultValue" in item}
        self._parameters |= parameters or {}
        self._salt = salt
        self.artifacts = {}

    def component(self, task_name):
        task = self._specification["root"]["dag"]["tasks"][task_name]
        return self._specification["components"][task["componentRef"]["name"]]

    def executor_input(self, task_name):
        inputs = self._specification["root"]["dag"]["tasks"][task_name].get("inputs", {})
        definitions = self.component(task_name).get("inputDefinitions", {}).get("parameters", {})
        parameters = {key: item["defaultValue"] for key, item in definitions.items() if "defaultValue" in item}
        for key, source in inputs.get("parameters", {}).items():
            if "runtimeValue" in source:
                parameters[key] = source["runtimeValue"]["constant"]
            else:
                parameters[key] = self._parameters.get(source["componentInputParameter"])
        artifacts = {}
        for key, source in inputs.get("artifacts", {}).items():
            if "taskOutputArtifact" in source:
                produced = source["taskOutputArtifact"]
                artifacts[key] = self.artifacts[produced["producerTask"], produced["outputArtifactKey"]]
        return {
            "inputs": {"parameterValues": parameters, "artifacts": _lists(artifacts)},
            "outputs": self._outputs(task_name),
        }

    def publish(self, task_name, outputs, answers):
        """Keeps a task's outputs; `answers` holds the metadata of those that the executor said something about."""
        for key, artifacts in outputs["artifacts"].items():
            (artifact,) = artifacts["artifacts"]
            self.artifacts[task_name, key] = self._store.keep(key, artifact, answers.get(key, {}))

    def _outputs(self, task_name):
        root = f"{self._root}/{task_name}"
        if self._store.release.salted:
            root += f"/{self._salt or uuid.uuid4()}"
        types = {
            key: definition["artifactType"]
            for key, definition in self.component(task_name).get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        if self._store.release.logs:
            types["executor-logs"] = {"schemaTitle": "system.Artifact"}
        artifacts = {key: {"type": schema, "uri": f"{root}/{key}"} for key, schema in types.items()}
        file = "/tmp/kfp_outputs/output_metadata.json"
        if self._store.release.task_root:
            artifacts = {key: {"name": key, **artifact} for key, artifact in artifacts.items()}
            file = f"{local_path(root)}/output_metadata.json"
        return {"artifacts": _lists(artifacts), "outputFile": file}


def local_path(uri):
    """`LocalPathForURI` of the launcher."""
    for scheme, folder in FOLDERS.items():
        if uri.startswith(scheme):
            return folder + uri.removeprefix(scheme)
    raise AssertionError(f"the launcher has no local path for {uri}")


def title(artifact_type):
    schema = artifact_type.get("instanceSchema")
    return yaml.safe_load(schema)["title"] if schema else artifact_type["schemaTitle"]


def _to_store(value):
    """`StructValueToMLMDValue` of kubeflow/pipelines `metadata/converter.go`."""
    if isinstance(value, bool):
        return metadata_store_pb2.Value(int_value=int(value))
    if isinstance(value, (int, float)):
        return metadata_store_pb2.Value(double_value=value)
    if isinstance(value, str):
        return metadata_store_pb2.Value(string_value=value)
    assert isinstance(value, (list, dict)), f"the launcher fails on metadata {value!r}"
    wrapper = struct_pb2.Struct()
    wrapper.update({"list" if isinstance(value, list) else "struct": value})
    return metadata_store_pb2.Value(struct_value=wrapper)


def _from_store(value):
    """`toRuntimeArtifact` of the same file."""
    kind = value.WhichOneof("value")
    if kind == "struct_value":
        return json_format.MessageToDict(value.struct_value)
    return getattr(value, kind)


def _lists(artifacts):
    return {key: {"artifacts": [artifact]} for key, artifact in artifacts.items()}
