"""The contenders: each module is a program that trains one workload in the interpreter of its environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Contender:
    """How a contender is started.

    Attributes:
        environment: Name of its folder in `.environments`.
        module: Name of its module in this package.
        options: Arguments after those that every contender takes.
        variables: Environment variables that it needs.
    """

    environment: str
    module: str
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)


CONTENDERS = {
    "floor": Contender("tff", "floor"),
    "numpy": Contender("tff", "numpy_training"),
    "in_process": Contender("tff", "ours", ("in_process",)),
    "native": Contender("tff", "ours", ("native",)),
    "remote": Contender("tff", "ours", ("remote",)),
    "pfl": Contender("benchmark-pfl", "pfl_simulation", variables={"TF_USE_LEGACY_KERAS": "1"}),
    "flower": Contender(
        "benchmark-flower",
        "flower_simulation",
        variables={"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
    "stock_tff": Contender("tff", "stock_tff"),
}
