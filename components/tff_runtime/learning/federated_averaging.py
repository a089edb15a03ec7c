"""Weighted federated averaging (McMahan et al., arXiv 1602.05629, algorithm 1) with a server optimizer.

Each silo k runs SGD from the global weights w over its n_k rows and sends its update; the server applies its optimizer
to the mean of the updates weighted by n_k (FedOpt: Reddi et al., arXiv 2003.00295, algorithm 1). Server SGD with
learning rate 1 is plain federated averaging.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime.learning import variable_model

_SERVER_OPTIMIZERS: dict[str, Callable[[float], tff.learning.optimizers.Optimizer]] = {
    "sgd": tff.learning.optimizers.build_sgdm,
    "adagrad": tff.learning.optimizers.build_adagrad,
    "adam": tff.learning.optimizers.build_adam,
    "yogi": tff.learning.optimizers.build_yogi,
}
assert tuple(_SERVER_OPTIMIZERS) == job_lib.SERVER_OPTIMIZERS


def build_learning_process(
    model_function: variable_model.VariableModelFunction, job: job_lib.TrainingJob
) -> tff.learning.templates.LearningProcess:
    """Returns TFF's weighted federated averaging with the job's optimizers."""
    return tff.learning.algorithms.build_weighted_fed_avg(
        model_function,
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(job.client_learning_rate),
        server_optimizer_fn=_SERVER_OPTIMIZERS[job.server_optimizer](job.server_learning_rate),
        client_weighting=tff.learning.ClientWeighting.NUM_EXAMPLES,
    )
