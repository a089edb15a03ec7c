"""TFX components for cross-silo federated learning.

Names load on first use (PEP 562), so that importing one component costs only what that component needs.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULE_OF_NAME = {
    "BeamBatchInferrer": "tfx_federated.beam_batch_inferrer.component",
    "ContributionEvaluator": "tfx_federated.contribution_evaluator.component",
    "ContributionReport": "tfx_federated.artifacts",
    "FairnessEvaluator": "tfx_federated.fairness_evaluator.component",
    "FairnessReport": "tfx_federated.artifacts",
    "FederatedRun": "tfx_federated.artifacts",
    "FederatedTrainer": "tfx_federated.federated_trainer.component",
    "SiloExamples": "tfx_federated.artifacts",
    "SiloModels": "tfx_federated.artifacts",
    "SiloPartitioner": "tfx_federated.silo_partitioner.component",
}

__all__ = ["__version__", *_MODULE_OF_NAME]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module 'tfx_federated' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF_NAME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
