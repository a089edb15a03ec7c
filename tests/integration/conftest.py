import pytest

from tests.integration import flights_run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return flights_run.Run(tmp_path_factory.mktemp("flights"))
