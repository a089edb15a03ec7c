"""What the silos minimise, and how they do it."""

from __future__ import annotations

import dataclasses
import math

from tff_runtime.settings import encoding


@dataclasses.dataclass(frozen=True)
class FedAvg:
    """Federated averaging (McMahan et al., arXiv 1602.05629, algorithm 1): local SGD, then the mean of the updates."""


@dataclasses.dataclass(frozen=True)
class FedProx:
    """Federated averaging with silos held near the global model (Li et al., arXiv 1812.06127, equation 2).

    Attributes:
        strength: The paper's mu, positive; the paper tries 0.001 to 1.
    """

    strength: float

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 < self.strength < math.inf, self, "strength", "positive and finite")


@dataclasses.dataclass(frozen=True)
class FedSGD:
    """One full gradient of each silo a round (McMahan et al., arXiv 1602.05629, section 2), instead of local steps.

    The server applies its optimizer to the mean gradient; the client learning rate and the epochs play no part.
    """


@dataclasses.dataclass(frozen=True)
class Scaffold:
    """SCAFFOLD (Karimireddy et al., arXiv 1910.06378, algorithm 1, option II): control variates against client drift.

    Every silo keeps a control variate across rounds. The silos' optimizer must be SGD without momentum.
    """


@dataclasses.dataclass(frozen=True)
class MimeLite:
    """MIME-lite (Karimireddy et al., arXiv 2008.03606, algorithm 1): local steps with the server's momentum.

    Attributes:
        momentum: The paper's beta for SGD with momentum, in [0, 1).
    """

    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 <= self.momentum < 1, self, "momentum", "at least 0 and below 1")


@dataclasses.dataclass(frozen=True)
class QFedAvg:
    """q-FedAvg (Li et al., arXiv 1905.10497, algorithm 2): silos with a higher loss count more.

    Attributes:
        q: 0 is federated averaging; the larger, the more even the losses. The paper tries 0.001 to 15.
    """

    q: float

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 <= self.q < math.inf, self, "q", "at least 0 and finite")


@dataclasses.dataclass(frozen=True)
class AgnosticFederated:
    """Agnostic federated learning (Mohri et al., arXiv 1902.00146, section 5): the worst mixture of the silos.

    Attributes:
        mixture_learning_rate: Learning rate of the mixture's weights, positive.
    """

    mixture_learning_rate: float

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 < self.mixture_learning_rate < math.inf, self, "mixture_learning_rate", "positive")


@dataclasses.dataclass(frozen=True)
class TiltedFederated:
    """Tilted empirical risk over silos (TERM: Li et al., arXiv 2007.01162, equation 2).

    Attributes:
        tilt: The paper's t, positive: the larger, the nearer to the worst silo's loss. The paper tries 0.1 to 50.
    """

    tilt: float

    def __post_init__(self) -> None:
        """Checks the range."""
        encoding.require(0 < self.tilt < math.inf, self, "tilt", "positive and finite")


ALTERNATIVES = (FedAvg, FedProx, FedSGD, Scaffold, MimeLite, QFedAvg, AgnosticFederated, TiltedFederated)
