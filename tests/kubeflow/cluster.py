"""Runs a compiled pipeline as Kubeflow Pipelines would, on this machine and without TFX.

The driver's part is in `driver`. This follows the launcher (`backend/src/v2/component/launcher_v2.go` of
kubeflow/pipelines: files, command line, answer), the cache (`cacheutils`) and the conditions (`expression`). The object
store is a folder. Each task gets a scratch folder of its own, which is removed when it ends: nothing goes from one task
to the next but by the object store.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys

import celpy
import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.kubeflow import driver as driver_lib
from tfx_federated.kubeflow import entrypoint

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class TaskFailedError(AssertionError):
    pass


@dataclasses.dataclass
class Task:
    """What became of a task: `state` is SUCCEEDED, CACHED or SKIPPED; `outputs` are as a consumer gets them."""

    state: str
    outputs: dict


class Cluster:
    def __init__(self, folder, release="2.5.0"):
        self.store = folder / "store"
        self.scratch = folder / "scratch"
        self._metadata = driver_lib.MetadataStore(driver_lib.RELEASES[release])
        self._runs = itertools.count(1)
        self._cache = {}

    def run(self, file, pipeline_root, parameters=None):
        """Runs a compiled pipeline; returns a Task for each task name."""
        specification = next(iter(yaml.safe_load_all(file.read_text())))
        assert specification["schemaVersion"] == "2.1.0"
        root = f"{pipeline_root}/{specification['pipelineInfo']['name']}/run-{next(self._runs)}"
        driver = driver_lib.Driver(specification, self._metadata, root, parameters)
        done = {}
        for name, task in in_order(specification["root"]["dag"]["tasks"]):
            executor = specification["deploymentSpec"]["executors"][driver.component(name)["executorLabel"]]
            state = self._run_task(driver, name, task, executor, done)
            done[name] = Task(state, outputs_of(driver, name))
        return done

    def path_in_store(self, uri):
        return self.store / driver_lib.local_path(uri).lstrip("/")

    def _run_task(self, driver, name, task, executor, done):
        if any(done[upstream].state == "SKIPPED" for upstream in task.get("dependentTasks", ())):
            return "SKIPPED"
        executor_input = driver.executor_input(name)
        condition = task.get("triggerPolicy", {}).get("condition")
        if condition and not is_true(condition, executor_input):
            return "SKIPPED"
        if "importer" in executor:
            importer = executor["importer"]
            artifact = {"uri": importer["artifactUri"]["constant"], "type": importer["typeSchema"]}
            (key,) = driver.component(name)["outputDefinitions"]["artifacts"]
            outputs = {"artifacts": {key: {"artifacts": [artifact]}}}
            driver.publish(name, outputs, {key: importer.get("metadata", {})})
            return "SUCCEEDED"
        key = cache_key(executor_input, driver.component(name), executor["container"])
        cached = task.get("cachingOptions", {}).get("enableCache", False)
        if cached and key in self._cache:
            driver.artifacts |= {(name, output): artifact for output, artifact in self._cache[key].items()}
            return "CACHED"
        driver.publish(name, executor_input["outputs"], self._launch(name, executor_input, executor["container"]))
        if cached:
            self._cache[key] = {
                output: kept for (task_name, output), kept in driver.artifacts.items() if task_name == name
            }
        return "SUCCEEDED"

    def _launch(self, name, executor_input, container):
        """Runs the container's command; returns the metadata that it answered, by output."""
        root = self.scratch / name
        # Where the containers' root would be, so that nothing is written outside of the scratch folder.
        answer = pathlib.Path(f"{root}{executor_input['outputs']['outputFile']}")
        executor_input["outputs"]["outputFile"] = str(answer)
        for artifact in artifacts_of(executor_input["inputs"]):
            copy(self.path_in_store(artifact["uri"]), in_container(root, artifact))
        for artifact in artifacts_of(executor_input["outputs"]):
            in_container(root, artifact).parent.mkdir(parents=True, exist_ok=True)
        root.mkdir(parents=True, exist_ok=True)
        log = self.scratch / f"{name}.log"
        self._execute(name, executor_input, container, root, log)
        answered = {}
        if answer.exists():
            answered = json.loads(answer.read_text()).get("artifacts", {})
            json_format.ParseDict({"artifacts": answered}, pipeline_spec_pb2.ExecutorOutput())
        outputs = executor_input["outputs"]["artifacts"]
        assert answered.keys() <= outputs.keys()
        metadata = {}
        for key, artifacts in outputs.items():
            (artifact,) = artifacts["artifacts"]
            (from_executor,) = answered.get(key, {}).get("artifacts", [{}])
            artifact["uri"] = from_executor.get("uri") or artifact["uri"]
            metadata[key] = from_executor.get("metadata", {})
            if in_container(root, artifact).exists():
                copy(in_container(root, artifact), self.path_in_store(artifact["uri"]))
        shutil.rmtree(root)
        return metadata

    def _execute(self, name, executor_input, container, root, log):
        command = [sys.executable if part == "python" else part for part in container["command"]]
        command += [part.replace("{{$}}", json.dumps(executor_input)) for part in container["args"]]
        environment = os.environ | {item["name"]: item["value"] for item in container.get("env", ())}
        with log.open("wb") as output:
            completed = subprocess.run(
                command,
                env=environment | {"ARTIFACT_LOCAL_PATH": str(root)},
                cwd=REPOSITORY,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        if completed.returncode != 0:
            raise TaskFailedError(f"task {name} exited with {completed.returncode}:\n{log.read_text()[-6000:]}")


class InProcessCluster(Cluster):
    """Calls the entrypoint instead of starting it: for tests of what is around it."""

    def _execute(self, name, executor_input, container, root, log):
        assert tuple(container["command"]) == entrypoint.COMMAND
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("ARTIFACT_LOCAL_PATH", str(root))
            arguments = [part.replace("{{$}}", json.dumps(executor_input)) for part in container["args"]]
            assert entrypoint.main(arguments) == 0


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


def outputs_of(driver, task_name):
    return {key: artifact for (producer, key), artifact in driver.artifacts.items() if producer == task_name}


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


def in_container(root, artifact):
    return pathlib.Path(f"{root}{driver_lib.local_path(artifact['uri'])}")


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
