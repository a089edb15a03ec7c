"""Federated averaging (McMahan et al., arXiv 1602.05629, algorithm 1) with a server optimizer, and FedProx.

Each silo k runs SGD from the global weights w over its n_k rows and sends its update; the server applies its optimizer
to the weighted mean of the updates (FedOpt: Reddi et al., arXiv 2003.00295, algorithm 1). Server SGD with learning rate
1 is plain federated averaging. With a proximal strength mu > 0 each silo minimises F_k(v) + mu / 2 |v - w|^2 instead of
F_k(v), which keeps silos of different data together (FedProx: Li et al., arXiv 1812.06127, equation 2).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime.learning import proximal_optimizer, silo_weighting, variable_model

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
    """Returns TFF's federated averaging, or FedProx, with the job's optimizers and weights of silos."""
    client_optimizer = tff.learning.optimizers.build_sgdm(job.client_learning_rate)
    if job.proximal_strength:
        client_optimizer = proximal_optimizer.ProximalOptimizer(client_optimizer, job.proximal_strength)
    return tff.learning.algorithms.build_weighted_fed_avg(
        model_function,
        client_optimizer_fn=client_optimizer,
        server_optimizer_fn=_SERVER_OPTIMIZERS[job.server_optimizer](job.server_learning_rate),
        client_weighting=tff.learning.ClientWeighting.NUM_EXAMPLES,
        model_aggregator=silo_weighting.ReweightedMean(job),
    )
