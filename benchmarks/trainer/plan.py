"""How many rounds each contender trains, how often it is run at most, and how long a run may take.

Where a run takes long, fewer rounds and runs show as much, and more would take hours.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a contender runs one workload.

    Attributes:
        rounds: Rounds of one run; the first is reported apart, so at least 2.
        repeats: Runs at most.
    """

    rounds: int
    repeats: int


TIME_LIMIT = 180.0
"""Seconds after which a run is ended, and its contender reported as not finished."""

DEFAULT_REPEATS = 5
_REPEATS = {"native": 3, "remote": 3, "pfl": 3, "flower": 2, "stock_tff": 2}
_ROUNDS = {"logistic_100": 20, "logistic_1000": 10, "mlp_16x51200": 5, "wide_mlp_20": 8}
_SLOW = {
    ("logistic_100", "stock_tff"): Plan(rounds=5, repeats=2),
    ("logistic_1000", "stock_tff"): Plan(rounds=3, repeats=1),
    ("logistic_1000", "flower"): Plan(rounds=3, repeats=2),
    ("logistic_1000", "pfl"): Plan(rounds=4, repeats=2),
    ("mlp_16x51200", "stock_tff"): Plan(rounds=3, repeats=2),
    ("mlp_16x51200", "pfl"): Plan(rounds=3, repeats=2),
    ("wide_mlp_20", "stock_tff"): Plan(rounds=4, repeats=2),
}


def most_rounds(workload: str) -> int:
    """Returns the most rounds that any contender trains on a workload."""
    return _ROUNDS[workload]


def of(workload: str, contender: str) -> Plan:
    """Returns how a contender runs a workload."""
    usual = Plan(_ROUNDS[workload], _REPEATS.get(contender, DEFAULT_REPEATS))
    return _SLOW.get((workload, contender), usual)
