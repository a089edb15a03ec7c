"""What the server's optimizer makes of a mean update, as the trainer's does: `tff.learning.optimizers`, in NumPy.

Each `step` takes the state before the round and the mean update of one or many coalitions, [..., parameters], and
returns the change of the weights, of the same shape, and the state after the round. States may be those of many
coalitions too, of shape [..., parameters].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from tff_runtime.settings import encoding, schedules
from tfx_federated.contribution_evaluator.federated_run import Vectors

# The defaults of tff.learning.optimizers, which the trainer leaves as they are.
_BETA_1, _BETA_2 = 0.9, 0.999
_ADAM_EPSILON, _YOGI_EPSILON, _ADAGRAD_EPSILON = 1e-7, 1e-3, 1e-7
_YOGI_INITIAL, _ADAGRAD_INITIAL = 1e-6, 0.1


class State(NamedTuple):
    """What an optimizer keeps between rounds.

    Attributes:
        accumulator: Mean of the updates, [..., parameters].
        preconditioner: Mean or sum of their squares, [..., parameters].
        steps: Number of steps so far, [..., 1].
    """

    accumulator: Vectors
    preconditioner: Vectors
    steps: Vectors


class ServerOptimizer(Protocol):
    """The optimizer of a server."""

    def initial_state(self, parameters: int) -> State:
        """Returns the state before the first round."""

    def step(self, state: State, mean_update: Vectors, round_number: int) -> tuple[Vectors, State]:
        """Returns the change of the weights, and the state after the round."""


class Sgd:
    """SGD, with momentum or without."""

    def __init__(self, rate: Callable[[int], float], momentum: float) -> None:
        """Takes the learning rate of each round and the momentum, in [0, 1)."""
        self._rate = rate
        self._momentum = momentum

    def initial_state(self, parameters: int) -> State:
        """Returns a state without motion."""
        return _state(parameters, 0.0)

    def step(self, state: State, mean_update: Vectors, round_number: int) -> tuple[Vectors, State]:
        """Moves by the update and what is left of former ones."""
        accumulator = np.float32(self._momentum) * state.accumulator + mean_update
        return np.float32(self._rate(round_number)) * accumulator, state._replace(accumulator=accumulator)


class Adagrad:
    """Adagrad (Duchi et al., JMLR 12 (2011), 2121-2159)."""

    def __init__(self, rate: Callable[[int], float]) -> None:
        """Takes the learning rate of each round."""
        self._rate = rate

    def initial_state(self, parameters: int) -> State:
        """Returns the state before the first round."""
        return _state(parameters, _ADAGRAD_INITIAL)

    def step(self, state: State, mean_update: Vectors, round_number: int) -> tuple[Vectors, State]:
        """Divides by the root of the sum of squares."""
        squares = state.preconditioner + np.square(mean_update)
        change = np.float32(self._rate(round_number)) * mean_update / np.sqrt(squares + np.float32(_ADAGRAD_EPSILON))
        return change, state._replace(preconditioner=squares)


class Adam:
    """Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1, with the order of section 2's last paragraph)."""

    _initial = 0.0
    _epsilon = _ADAM_EPSILON

    def __init__(self, rate: Callable[[int], float]) -> None:
        """Takes the learning rate of each round."""
        self._rate = rate

    def initial_state(self, parameters: int) -> State:
        """Returns the state before the first round."""
        return _state(parameters, self._initial)

    def step(self, state: State, mean_update: Vectors, round_number: int) -> tuple[Vectors, State]:
        """Divides a mean of updates by the root of a mean of squares, both corrected for their start."""
        accumulator = state.accumulator + (mean_update - state.accumulator) * np.float32(1 - _BETA_1)
        squares = self._next_squares(state.preconditioner, np.square(mean_update))
        steps = state.steps + 1
        correction = np.sqrt(1 - np.float32(_BETA_2) ** steps) / (1 - np.float32(_BETA_1) ** steps)
        rate = np.float32(self._rate(round_number)) * correction
        change = rate * accumulator / (np.sqrt(squares) + np.float32(self._epsilon))
        return change, State(accumulator, squares, steps)

    def _next_squares(self, squares: Vectors, new: Vectors) -> Vectors:
        return squares + (new - squares) * np.float32(1 - _BETA_2)


class Yogi(Adam):
    """Yogi (Zaheer et al., NeurIPS 2018, algorithm 2): the mean of squares moves by at most the new square."""

    _initial = _YOGI_INITIAL
    _epsilon = _YOGI_EPSILON

    def _next_squares(self, squares: Vectors, new: Vectors) -> Vectors:
        return squares + np.float32(1 - _BETA_2) * np.sign(new - squares) * new


def of_settings(settings: Mapping[str, Any]) -> ServerOptimizer:
    """Returns the optimizer of a training.

    Args:
        settings: Those of the FederatedRun.

    Raises:
        ValueError: It is none that the trainer has.
    """
    schedule = encoding.decode(settings["server_schedule"], schedules.ALTERNATIVES, "server_schedule")

    def rate(round_number: int) -> float:
        return settings["server_learning_rate"] * schedule.factor(round_number)

    match settings["server_optimizer"]:
        case "sgd":
            return Sgd(rate, settings["server_momentum"])
        case "adagrad":
            return Adagrad(rate)
        case "adam":
            return Adam(rate)
        case "yogi":
            return Yogi(rate)
        case other:
            raise ValueError(f"settings.json has the server_optimizer {other!r}, which this version does not know")


def _state(parameters: int, preconditioner: float) -> State:
    return State(
        np.zeros(parameters, np.float32), np.full(parameters, preconditioner, np.float32), np.zeros(1, np.float32)
    )
