import pytest

from tests.tfx_federated.contribution_evaluator import small_evaluation
from tests.tfx_federated.contribution_evaluator.small_run import Federation, write
from tfx_federated.contribution_evaluator import federated_run, model_function


@pytest.fixture(scope="session")
def federation():
    """Five silos, of which one sends nothing, and one joins in the second of four rounds."""
    return Federation(
        small_evaluation.ROWS,
        asked=lambda number, silo: silo != "late" or number > 1,
        lies={"idle": lambda _, update: 0 * update},
    )


@pytest.fixture(scope="session")
def run_uri(federation, tmp_path_factory):
    return write(tmp_path_factory.mktemp("runs") / "run", federation)


@pytest.fixture(scope="session")
def ledger(run_uri):
    return federated_run.read(run_uri)


@pytest.fixture(scope="session")
def function(run_uri):
    return model_function.ModelFunction(federated_run.read(run_uri).model_path)
