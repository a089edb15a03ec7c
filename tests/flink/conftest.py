"""One job server for all tests of an engine, and the Beam options that lead to it."""

import pytest
from apache_beam import version

from tests.flink import job_server
from tfx_federated import beam_options

# Several of both, so that what one process keeps in memory is missing in another.
TASKS = 2
WORKER_PROCESSES = 2

RUNNERS = pytest.StashKey[list[str]]()


def pytest_configure(config):
    config.stash[RUNNERS] = []


def pytest_terminal_summary(terminalreporter, config):
    """Says which releases the tests were run with."""
    for line in config.stash[RUNNERS]:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session", params=list(job_server.ENGINES))
def engine_name(request):
    return request.param


@pytest.fixture(scope="session")
def server(engine_name, tmp_path_factory, pytestconfig):
    folder = tmp_path_factory.mktemp(engine_name)
    engine = job_server.ENGINES[engine_name]
    try:
        runner, jars = job_server.class_path(engine, folder)
        boot = job_server.boot_program(folder)
    except job_server.UnavailableError as error:
        pytest.skip(f"{engine_name}: {error}")
    pytestconfig.stash[RUNNERS].append(f"{engine_name}: job server of {runner}, workers of Beam {version.__version__}")
    with job_server.running(engine, jars, boot, folder) as running:
        yield running


@pytest.fixture(scope="session")
def options(engine_name, server):
    """Options of a pipeline that runs on the job server."""
    if engine_name == "spark":
        return beam_options.spark(
            server.job_endpoint, worker_pool=server.worker_pool, worker_processes=WORKER_PROCESSES
        )
    return beam_options.flink(
        job_endpoint=server.job_endpoint,
        worker_pool=server.worker_pool,
        parallelism=TASKS,
        worker_processes=WORKER_PROCESSES,
    )
