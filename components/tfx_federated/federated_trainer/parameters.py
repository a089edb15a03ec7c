"""The ranges of the trainer's parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tfx.orchestration import data_types

from tff_runtime import job as job_lib
from tff_runtime import silo_weights
from tff_runtime.settings import combinations, encoding, personalizations

_LEAST = {"rounds": 0, "local_epochs": 1, "batch_size": 1, "evaluation_interval": 1, "checkpoint_interval": 1}
_POSITIVE = ("client_learning_rate", "server_learning_rate")


def check(settings: Mapping[str, Any]) -> None:
    """Refuses settings out of their range.

    Args:
        settings: Some or all of the trainer's settings by name.

    Raises:
        ValueError: A setting is out of range; the message names it.
    """
    for name, least in _LEAST.items():
        if name in settings and settings[name] < least:
            raise ValueError(f"FederatedTrainer: {name} is {settings[name]}; it must be at least {least}")
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
    optimizer = settings.get("server_optimizer", job_lib.SERVER_OPTIMIZERS[0])
    if optimizer not in job_lib.SERVER_OPTIMIZERS:
        raise ValueError(
            f"FederatedTrainer: server_optimizer is {optimizer!r}; it must be one of "
            f"{', '.join(job_lib.SERVER_OPTIMIZERS)}"
        )
    momentum = settings.get("server_momentum", 0.0)
    if not 0 <= momentum < 1 or (momentum and optimizer != "sgd"):
        raise ValueError(
            f"FederatedTrainer: server_momentum is {momentum} with server_optimizer {optimizer!r}; it must be at least "
            "0 and below 1, and 0 with another optimizer than sgd"
        )
    # A choice that the Kubeflow UI fills in is not known before the run.
    if all(name in settings for name in job_lib.CHOICES):
        combinations.check({**settings, **decoded(settings)})


def encoded(choice: Any, name: str) -> Any:
    """Returns a choice as JSON text; a RuntimeParameter as it is.

    Args:
        choice: A settings object, its JSON text or a RuntimeParameter.
        name: Name of the parameter, for messages.

    Raises:
        ValueError: The choice is none of the parameter's alternatives.
    """
    if isinstance(choice, data_types.RuntimeParameter):
        return choice
    alternatives, _ = job_lib.CHOICES[name]
    if not isinstance(choice, (str, *alternatives)):
        raise ValueError(
            f"FederatedTrainer: {name} is {choice!r}; it must be one of "
            f"{', '.join(alternative.__name__ for alternative in alternatives)}, or the JSON text of one"
        )
    setting = encoding.decode(choice, alternatives, name) if isinstance(choice, str) else choice
    return json.dumps(encoding.encode(setting), sort_keys=True)


def decoded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the choices among settings as settings objects.

    Raises:
        ValueError: The text of one is no such setting.
    """
    return {
        name: encoding.decode(settings[name], alternatives, name) for name, (alternatives, _) in job_lib.CHOICES.items()
    }


def is_personalized(personalization: Any) -> bool:
    """Returns whether silos get models of their own; true also for a RuntimeParameter."""
    return personalization != encoded(personalizations.NoPersonalization(), "personalization")
