"""The ranges of the trainer's parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tff_runtime import job as job_lib
from tff_runtime import silo_weights

_AT_LEAST_ONE = ("rounds", "local_epochs", "batch_size", "evaluation_interval")
_POSITIVE = ("client_learning_rate", "server_learning_rate")


def check(settings: Mapping[str, Any]) -> None:
    """Refuses settings out of their range.

    Args:
        settings: Some or all of the trainer's settings by name.

    Raises:
        ValueError: A setting is out of range; the message names it.
    """
    for name in _AT_LEAST_ONE:
        if name in settings and settings[name] < 1:
            raise ValueError(f"FederatedTrainer: {name} is {settings[name]}; it must be at least 1")
    for name in _POSITIVE:
        if name in settings and not (settings[name] > 0 and math.isfinite(settings[name])):
            raise ValueError(f"FederatedTrainer: {name} is {settings[name]}; it must be positive and finite")
    if "seed" in settings and settings["seed"] < 0:
        raise ValueError(f"FederatedTrainer: seed is {settings['seed']}; it must not be negative")
    weighting = settings.get("silo_weighting", silo_weights.EXAMPLES)
    if weighting not in silo_weights.WEIGHTINGS:
        raise ValueError(
            f"FederatedTrainer: silo_weighting is {weighting!r}; it must be one of {', '.join(silo_weights.WEIGHTINGS)}"
        )
    share = settings.get("maximum_silo_share", 1.0)
    if not 0 < share <= 1:
        raise ValueError(f"FederatedTrainer: maximum_silo_share is {share}; it must be above 0 and at most 1")
    strength = settings.get("proximal_strength", 0.0)
    if not (strength >= 0 and math.isfinite(strength)):
        raise ValueError(f"FederatedTrainer: proximal_strength is {strength}; it must be finite and not negative")
    optimizer = settings.get("server_optimizer", job_lib.SERVER_OPTIMIZERS[0])
    if optimizer not in job_lib.SERVER_OPTIMIZERS:
        raise ValueError(
            f"FederatedTrainer: server_optimizer is {optimizer!r}; it must be one of "
            f"{', '.join(job_lib.SERVER_OPTIMIZERS)}"
        )
