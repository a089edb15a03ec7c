"""One federated algorithm a module, each a `local_algorithm.LocalAlgorithm`, and what chooses among them."""

from __future__ import annotations

from collections.abc import Callable

from tff_runtime import functional_model
from tff_runtime import job as job_lib
from tff_runtime.learning import local_algorithm
from tff_runtime.learning.algorithms import (
    agnostic,
    fedavg,
    fedprox,
    fedsgd,
    mime_lite,
    qfedavg,
    scaffold,
    tilted,
)
from tff_runtime.settings import algorithms as settings

_ALGORITHMS: dict[type, Callable[..., local_algorithm.LocalAlgorithm]] = {
    settings.FedAvg: fedavg.FedAvg,
    settings.FedProx: fedprox.FedProx,
    settings.FedSGD: fedsgd.FedSGD,
    settings.Scaffold: scaffold.Scaffold,
    settings.MimeLite: mime_lite.MimeLite,
    settings.QFedAvg: qfedavg.QFedAvg,
    settings.AgnosticFederated: agnostic.AgnosticFederated,
    settings.TiltedFederated: tilted.TiltedFederated,
}
assert tuple(_ALGORITHMS) == settings.ALTERNATIVES


def build(model: functional_model.FunctionalModel, job: job_lib.TrainingJob) -> local_algorithm.LocalAlgorithm:
    """Returns the job's algorithm."""
    silos = len(job.silos[job.train_split])
    return _ALGORITHMS[type(job.algorithm)](model, job.algorithm, silos)
