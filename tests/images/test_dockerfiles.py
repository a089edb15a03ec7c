import importlib.metadata
import json
import pathlib
import re

import pytest
from packaging.requirements import Requirement

from tfx_federated import tff_process
from tfx_federated.kubeflow import entrypoint, launcher_paths

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
IMAGES = REPOSITORY / "manifests" / "images"
DOCKERFILES = ("cpu", "gpu")


def instructions(name):
    """Returns a Dockerfile's instructions as pairs of name and arguments."""
    text = (IMAGES / f"{name}.Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in joined]


def arguments(name, instruction):
    return [rest for found, rest in instructions(name) if found == instruction]


def environment(name):
    return dict(setting.split("=", 1) for setting in " ".join(arguments(name, "ENV")).split())


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_base_is_a_stage_or_named_by_digest(name):
    stages = set()
    for base, *alias in (line.split(" AS ") for line in arguments(name, "FROM")):
        if base not in stages:
            variable = re.fullmatch(r"\$\{(\w+)\}", base).group(1)
            refusal = f'case "${variable}" in *@sha256:*) ;; *)'
            pinned = re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", default_of(name, variable))
            assert pinned or any(refusal in run for run in arguments(name, "RUN")), base
        stages.update(alias)
    assert stages


def default_of(name, variable):
    (first, *_) = [argument for argument in arguments(name, "ARG") if argument.split("=")[0] == variable]
    return first.removeprefix(f"{variable}=")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_is_copied_from_the_repository_exists_and_is_not_ignored(name):
    ignore = (IMAGES / f"{name}.Dockerfile.dockerignore").read_text().split()
    for line in arguments(name, "COPY"):
        if line.startswith("--from="):
            continue
        for source in line.split()[:-1]:
            assert (REPOSITORY / source).exists(), source
            assert any(source == kept[1:] or source.startswith(kept[1:] + "/") for kept in ignore if kept[0] == "!")


def test_the_image_runs_the_entrypoint_without_root():
    assert arguments("cpu", "USER")[-1] == "1000:1000"
    assert tuple(json.loads(arguments("cpu", "ENTRYPOINT")[-1])) == entrypoint.COMMAND


def test_the_gpu_image_ends_as_the_user_of_the_cpu_image():
    last_stage = [found for found, _ in instructions("gpu")]
    last_stage = last_stage[len(last_stage) - last_stage[::-1].index("FROM") :]
    assert "USER" not in last_stage
    assert "ENTRYPOINT" not in last_stage


def test_the_image_names_its_second_interpreter():
    tff = environment("cpu")[tff_process.PYTHON_VARIABLE].removesuffix("/bin/python")
    assert any(run.startswith(f"./make_environment.sh {tff} ") for run in arguments("cpu", "RUN"))


def test_the_launcher_has_its_folders():
    folders = {folder.rstrip("/") for folder in launcher_paths.FOLDER_OF_SCHEME.values()}
    (made,) = [run for run in arguments("cpu", "RUN") if "install --directory" in run]
    assert folders <= set(made.split())


def test_the_cuda_libraries_are_those_that_tensorflow_asks_for():
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (IMAGES / "gpu.txt").read_text(), re.MULTILINE))
    wanted = [Requirement(text) for text in importlib.metadata.requires("tensorflow")]
    wanted = {
        each.name: each.specifier for each in wanted if each.marker and each.marker.evaluate({"extra": "and-cuda"})
    }
    wanted = {name: specifier for name, specifier in wanted.items() if name.startswith("nvidia-")}
    assert wanted
    assert set(wanted) == set(pinned)
    assert all(pinned[name] in specifier for name, specifier in wanted.items())


def test_beams_boot_is_of_the_locked_beam():
    (beam,) = re.findall(r"^apache-beam==(\S+)", (REPOSITORY / "requirements/tfx.txt").read_text(), re.MULTILINE)
    assert any(f"sdks/v2/python/container@v{beam} " in run for run in arguments("cpu", "RUN"))
