import os
import sys

import pytest
import yaml

from tfx_federated import command_line
from tfx_federated.kubeflow import pipeline_folder

RUNNER = """
from tests.kubeflow import executors
from tfx.orchestration import pipeline

def create_kubeflow_pipeline():
    return pipeline.Pipeline("mine", "", components=[executors.Measure(good=1)])
"""


@pytest.fixture(autouse=True)
def unchanged_process(monkeypatch):
    """What `load` changes in the process is put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = os.getcwd()
    yield
    os.chdir(folder)


def make_folder(root, name, text=RUNNER):
    folder = root / name / "mine"
    folder.mkdir(parents=True)
    (root / name / "__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "kubeflow_runner.py").write_text(text)
    return folder


def test_the_command_compiles_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path, "compiled_pipelines")
    (tmp_path / "placement.yaml").write_text("Measure: {memory: 2Gi, shared_memory: 1Gi}")
    arguments = ["compile", "compiled_pipelines/mine", "--output", "out/mine.yaml", "--image", "a:1"]
    arguments += ["--image", "Measure=b:2", "--placement", "placement.yaml", "--environment", "A=b=c"]
    assert command_line.main(arguments) == 0
    specification, platform = yaml.safe_load_all((tmp_path / "out" / "mine.yaml").read_text())
    container = specification["deploymentSpec"]["executors"]["Measure_executor"]["container"]
    assert container["image"] == "b:2"
    assert {"name": "A", "value": "b=c"} in container["env"]
    assert container["resources"]["memoryLimit"] == pytest.approx(2 * 2**30 / 1e9)
    assert "Measure_executor" in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert str(tmp_path / "out" / "mine.yaml") in capsys.readouterr().out


def test_modules_are_found_from_the_outermost_package_wherever_one_starts(tmp_path, monkeypatch):
    folder = make_folder(tmp_path, "elsewhere_pipelines")
    monkeypatch.chdir("/")
    assert pipeline_folder.load(folder).pipeline_info.pipeline_name == "mine"
    assert os.getcwd() == str(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing has no kubeflow_runner.py"),
        (["empty_pipelines/mine"], "has no function create_kubeflow_pipeline()"),
        (["good_pipelines/mine", "--environment", "A"], "--environment 'A': give NAME=VALUE"),
        (["good_pipelines/mine", "--placement", "missing.yaml"], "placement file missing.yaml"),
        (["good_pipelines/mine", "--minimum-backend", "new"], "minimum_backend is 'new'"),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path, "good_pipelines")
    make_folder(tmp_path, "empty_pipelines", "")
    assert command_line.main(["compile", *arguments, "--output", "out.yaml", "--image", "a:1"]) == 1
    error = capsys.readouterr().err
    assert "tfx-federated compile: " in error
    assert message in error
    assert not (tmp_path / "out.yaml").exists()
    for name in [name for name in sys.modules if name.startswith(("good_pipelines", "empty_pipelines"))]:
        del sys.modules[name]
