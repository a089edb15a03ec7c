"""What silos do that give nothing, or harm: in their rows, or in the updates that they send.

Names say what is planted; each takes what an honest silo of the same size would be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.data import tables
from benchmarks.free_riders import federated_averaging

Matrix = federated_averaging.Matrix


@dataclasses.dataclass(frozen=True)
class Planted:
    """A federation with known behaviour.

    Attributes:
        silos: Rows of every silo.
        lies: What lying silos send, by name.
        planted: Names of the silos that were changed.
        involved: Names of silos that cannot be told from them, as those that were copied: neither right nor wrong.
    """

    silos: Sequence[tables.SiloRows]
    lies: dict[str, federated_averaging.Lie]
    planted: frozenset[str]
    involved: frozenset[str] = frozenset()


def honest(silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator) -> Planted:
    """Changes nothing."""
    del chosen, generator
    return Planted(silos, {}, frozenset())


def zeros(silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator) -> Planted:
    """Sends the global model back (plain free-riding: Fraboni et al., AISTATS 2021, arXiv 2006.11901)."""
    del generator
    return _lying(silos, chosen, lambda number, now, before, update: np.zeros_like(update))


def noise(silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator) -> Planted:
    """Sends Gaussian noise of the norm that an honest update of the silo would have.

    Harder than the random weights of Lin et al., arXiv 1911.12560, whose norm gives them away.
    """

    def lie(number: int, now: Matrix, before: Matrix | None, update: Matrix) -> Matrix:
        return _with_norm(generator.normal(size=len(update)), float(np.linalg.norm(update)))

    return _lying(silos, chosen, lie)


def decaying_noise(silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator) -> Planted:
    """Sends the global model with decaying noise (disguised free-riding: Fraboni et al., arXiv 2006.11901).

    Its standard deviation in round t is that of the first change of the global model, over t.
    """
    deviation: list[float] = []

    def lie(number: int, now: Matrix, before: Matrix | None, update: Matrix) -> Matrix:
        if before is None:
            return np.zeros_like(update)
        if number == 1:
            deviation[:] = [float(np.std(now - before))]
        return (deviation[0] / number * generator.normal(size=len(update))).astype(np.float32)

    return _lying(silos, chosen, lie)


def delta_weights(silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator) -> Planted:
    """Sends the previous change of the global model (delta weights: Lin et al., arXiv 1911.12560)."""
    del generator
    return _lying(silos, chosen, lambda number, now, before, update: _replayed(now, before, update))


def delta_weights_with_decaying_noise(
    silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator
) -> Planted:
    """The same, scaled to an honest norm, with decaying noise that begins as long as what it hides."""

    def lie(number: int, now: Matrix, before: Matrix | None, update: Matrix) -> Matrix:
        norm = float(np.linalg.norm(update))
        replayed = _with_norm(_replayed(now, before, update), norm)
        return replayed + _with_norm(generator.normal(size=len(update)), norm / max(number, 1))

    return _lying(silos, chosen, lie)


def garbage_labels(silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator) -> Planted:
    """Permutes the labels of the silo's rows: they keep their rate, and mean nothing."""
    return _changed(silos, chosen, lambda silo: dataclasses.replace(silo, labels=generator.permutation(silo.labels)))


def flipped_labels(silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator) -> Planted:
    """Flips every label."""
    del generator
    return _changed(silos, chosen, lambda silo: dataclasses.replace(silo, labels=1 - silo.labels))


def duplicated_rows(silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator) -> Planted:
    """Gives each chosen silo the rows of another: all of them, or as many as the chosen one has."""
    by_name = {silo.name: silo for silo in silos}
    others = [silo.name for silo in silos if silo.name not in chosen]
    # The neighbour is of about the same size: a company that copies claims what it copied.
    neighbours: dict[str, str] = {}
    for name in chosen:
        size = len(by_name[name].labels)
        free = [other for other in others if other not in neighbours.values()]
        neighbours[name] = min(free, key=lambda other: abs(np.log(len(by_name[other].labels) / size)))

    def copied(silo: tables.SiloRows) -> tables.SiloRows:
        source = by_name[neighbours[silo.name]]
        return dataclasses.replace(source, name=silo.name)

    return dataclasses.replace(_changed(silos, chosen, copied), involved=frozenset(neighbours.values()))


def too_few_rows(silos: Sequence[tables.SiloRows], chosen: Sequence[str], generator: np.random.Generator) -> Planted:
    """Leaves each chosen silo 3 to 10 rows. It is honest."""

    def cut(silo: tables.SiloRows) -> tables.SiloRows:
        kept = slice(int(generator.integers(3, 11)))
        return dataclasses.replace(silo, features=silo.features[kept], labels=silo.labels[kept])

    return _changed(silos, chosen, cut)


# (silos, names of those that misbehave, what decides by chance) -> the federation.
Behaviour = Callable[[Sequence[tables.SiloRows], Sequence[str], np.random.Generator], Planted]

BEHAVIOURS: dict[str, Behaviour] = {
    "zeros": zeros,
    "noise": noise,
    "decaying_noise": decaying_noise,
    "delta_weights": delta_weights,
    "delta_weights_with_decaying_noise": delta_weights_with_decaying_noise,
    "garbage_labels": garbage_labels,
    "flipped_labels": flipped_labels,
    "duplicated_rows": duplicated_rows,
    "too_few_rows": too_few_rows,
}


def _lying(silos: Sequence[tables.SiloRows], chosen: Sequence[str], lie: federated_averaging.Lie) -> Planted:
    return Planted(silos, dict.fromkeys(chosen, lie), frozenset(chosen))


def _changed(
    silos: Sequence[tables.SiloRows],
    chosen: Sequence[str],
    change: Callable[[tables.SiloRows], tables.SiloRows],
) -> Planted:
    return Planted([change(silo) if silo.name in chosen else silo for silo in silos], {}, frozenset(chosen))


def _replayed(now: Matrix, before: Matrix | None, update: Matrix) -> Matrix:
    return np.zeros_like(update) if before is None else now - before


def _with_norm(vector: npt.NDArray[np.floating], norm: float) -> Matrix:
    length = float(np.linalg.norm(vector))
    return np.zeros(len(vector), np.float32) if length == 0 else (vector * (norm / length)).astype(np.float32)
