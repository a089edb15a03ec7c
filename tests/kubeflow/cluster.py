"""What Kubeflow Pipelines does around the containers of a compiled pipeline, on this machine and without TFX.

Written from kubeflow/pipelines at 2.5.0: `backend/src/v2/driver/driver.go` (inputs, conditions, cache),
`backend/src/v2/component/launcher_v2.go` (files, command line, answer), `backend/src/v2/metadata/converter.go` (what the
metadata store returns), `backend/src/v2/expression` (conditions). The object store is a folder. Each task gets a scratch
folder of its own, which is removed when it ends: nothing goes from one task to the next but by the object store.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import celpy
import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SCHEMES = {"minio://": "minio", "s3://": "s3", "gs://": "gcs"}


class TaskFailedError(AssertionError):
    pass


@dataclasses.dataclass
class Task:
    """What became of a task: `state` is SUCCEEDED, CACHED or SKIPPED; `outputs` holds artifacts as the store has them."""

    state: str
    outputs: dict
    executor_input: dict | None = None


class Cluster:
    def __init__(self, folder, publish_logs=True, environment=None):
        self.store = folder / "store"
        self.scratch = folder / "scratch"
        self.publish_logs = publish_logs
        self.environment = environment or {}
        self._artifacts = 0
        self._cache = {}

    def run(self, file, pipeline_root, parameters=None):
        """Runs a compiled pipeline; returns a Task for each task name."""
        specification = next(iter(yaml.safe_load_all(file.read_text())))
        assert specification["schemaVersion"] == "2.1.0"
        values = {
            name: definition["defaultValue"]
            for name, definition in specification["root"].get("inputDefinitions", {}).get("parameters", {}).items()
            if "defaultValue" in definition
        } | (parameters or {})
        done = {}
        for name, task in in_order(specification["root"]["dag"]["tasks"]):
            done[name] = self._run_task(specification, name, task, done, values, pipeline_root)
        return done

    def path_in_store(self, uri):
        for scheme in SCHEMES:
            if uri.startswith(scheme):
                return self.store / uri.removeprefix(scheme)
        raise AssertionError(f"KFP has no object store for {uri}")

    def _run_task(self, specification, name, task, done, values, pipeline_root):
        if any(done[upstream].state == "SKIPPED" for upstream in task.get("dependentTasks", ())):
            return Task("SKIPPED", {})
        component = specification["components"][task["componentRef"]["name"]]
        executor = specification["deploymentSpec"]["executors"][component["executorLabel"]]
        executor_input = self._executor_input(name, task, component, done, values, pipeline_root)
        condition = task.get("triggerPolicy", {}).get("condition")
        if condition and not is_true(condition, executor_input):
            return Task("SKIPPED", {})
        if "importer" in executor:
            return Task("SUCCEEDED", self._import(executor["importer"], component))
        key = cache_key(executor_input, component, executor["container"])
        cached = task.get("cachingOptions", {}).get("enableCache", False)
        if cached and key in self._cache:
            return Task("CACHED", self._cache[key])
        outputs = self._launch(name, executor_input, executor["container"])
        if cached:
            self._cache[key] = outputs
        return Task("SUCCEEDED", outputs, executor_input)

    def _executor_input(self, name, task, component, done, values, pipeline_root):
        inputs = {"parameterValues": {}, "artifacts": {}}
        for key, source in task.get("inputs", {}).get("parameters", {}).items():
            if "runtimeValue" in source:
                inputs["parameterValues"][key] = source["runtimeValue"]["constant"]
            else:
                inputs["parameterValues"][key] = values[source["componentInputParameter"]]
        for key, source in task.get("inputs", {}).get("artifacts", {}).items():
            produced = source["taskOutputArtifact"]
            artifact = done[produced["producerTask"]].outputs[produced["outputArtifactKey"]]
            inputs["artifacts"][key] = {"artifacts": [artifact]}
        outputs = {
            key: {"uri": f"{pipeline_root}/{name}/{key}", "type": definition["artifactType"]}
            for key, definition in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        }
        if self.publish_logs:
            outputs["executor-logs"] = {
                "uri": f"{pipeline_root}/{name}/executor-logs",
                "type": {"schemaTitle": "system.Artifact"},
            }
        return {
            "inputs": inputs,
            "outputs": {
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in outputs.items()},
                "outputFile": str(self.scratch / name / "kfp_outputs" / "output_metadata.json"),
            },
        }

    def _launch(self, name, executor_input, container):
        root = self.scratch / name
        root.mkdir(parents=True)
        for artifact in artifacts_of(executor_input["inputs"]):
            copy(self.path_in_store(artifact["uri"]), local_path(root, artifact["uri"]))
        for artifact in artifacts_of(executor_input["outputs"]):
            local_path(root, artifact["uri"]).parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable if part == "python" else part.replace("{{$}}", json.dumps(executor_input))
            for part in [*container["command"], *container["args"]]
        ]
        log = root / "log.txt"
        with log.open("wb") as output:
            environment = os.environ | {item["name"]: item["value"] for item in container.get("env", ())}
            completed = subprocess.run(
                command,
                env=environment | self.environment | {"ARTIFACT_LOCAL_PATH": str(root)},
                cwd=REPOSITORY,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        if completed.returncode != 0:
            raise TaskFailedError(f"task {name} exited with {completed.returncode}:\n{log.read_text()[-6000:]}")
        outputs = self._upload(root, executor_input["outputs"])
        shutil.rmtree(root)
        return outputs

    def _upload(self, root, outputs):
        answer = pathlib.Path(outputs["outputFile"])
        answered = json.loads(answer.read_text()).get("artifacts", {}) if answer.exists() else {}
        result = {}
        for key, artifacts in outputs["artifacts"].items():
            (artifact,) = artifacts["artifacts"]
            (from_executor,) = answered.get(key, {}).get("artifacts", [{}])
            uri = from_executor.get("uri") or artifact["uri"]
            if local_path(root, uri).exists():
                copy(local_path(root, uri), self.path_in_store(uri))
            result[key] = self._stored(uri, key, from_executor.get("metadata", {}))
        return result

    def _import(self, importer, component):
        (key,) = component["outputDefinitions"]["artifacts"]
        return {key: self._stored(importer["artifactUri"]["constant"], key, importer.get("metadata", {}))}

    def _stored(self, uri, key, metadata):
        """An artifact as the metadata store gives it to a consumer: numbers as doubles, lists wrapped, no type."""
        self._artifacts += 1
        stored = {name: from_store(value) for name, value in metadata.items()}
        stored |= {"display_name": key, "store_session_info": json.dumps({"Provider": "minio", "Params": {}})}
        return {"name": str(self._artifacts), "type": {"instanceSchema": ""}, "uri": uri, "metadata": stored}


def in_order(tasks):
    """Yields the tasks so that each comes after those that it depends on."""
    waiting = dict(tasks)
    done = set()
    while waiting:
        ready = [name for name, task in waiting.items() if done.issuperset(task.get("dependentTasks", ()))]
        assert ready, f"the tasks {sorted(waiting)} wait for each other"
        for name in ready:
            yield name, waiting.pop(name)
            done.add(name)


def from_store(value):
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, list):
        return {"list": value}
    if isinstance(value, dict):
        return {"struct": value}
    assert isinstance(value, str), f"the launcher fails on metadata {value!r}"
    return value


def is_true(condition, executor_input):
    environment = celpy.Environment()
    program = environment.program(environment.compile(condition))
    inputs = {"parameter_values": executor_input["inputs"]["parameterValues"]}
    inputs["artifacts"] = executor_input["inputs"]["artifacts"]
    return bool(program.evaluate({"inputs": celpy.json_to_cel(inputs)}))


def cache_key(executor_input, component, container):
    """As `cacheutils.GenerateCacheKey`: names of input artifacts, values, output types, command and image."""
    inputs = executor_input["inputs"]
    parts = [
        {key: [artifact["name"] for artifact in value["artifacts"]] for key, value in inputs["artifacts"].items()},
        inputs["parameterValues"],
        component.get("outputDefinitions", {}),
        [container["image"], *container["command"], *container["args"]],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def artifacts_of(side):
    return [artifact for artifacts in side["artifacts"].values() for artifact in artifacts["artifacts"]]


def local_path(root, uri):
    for scheme, folder in SCHEMES.items():
        if uri.startswith(scheme):
            return root / folder / uri.removeprefix(scheme)
    raise AssertionError(f"the launcher has no local path for {uri}")


def copy(source, target):
    """An object store has no empty folders: a source without files is one that is not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copyfile(source, target)
    else:
        for file in source.rglob("*"):
            if file.is_file():
                destination = target / file.relative_to(source)
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, destination)
