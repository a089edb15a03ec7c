"""Silos with rows to train on, to choose an epoch by, and to be judged by."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pipelines.flights import data as flights_data
from pipelines.taxi import data as taxi_data

from benchmarks.data import tables
from benchmarks.free_riders import behaviours
from benchmarks.suite.data import manifests

Indices = npt.NDArray[np.int64]

# What planted silos do with their training rows.
PLANTED: Mapping[str, behaviours.Behaviour] = {
    "garbage_labels": behaviours.garbage_labels,
    "duplicated_rows": behaviours.duplicated_rows,
    "too_few_rows": behaviours.too_few_rows,
}
# One training row in five is kept from training where an epoch is chosen by it; no test row is.
VALIDATION_SHARE = 0.2


class OtherRowsError(ValueError):
    """The rows are not those that the manifest is about."""


@dataclasses.dataclass(frozen=True)
class Population:
    """Silos, sorted by name.

    Attributes:
        manifest: What they were made from, with their checksum.
        training: Rows to train on.
        test: Rows to be judged by, of the same silos; a silo may have none.
        planted: Names of the silos that were planted.
    """

    manifest: manifests.Manifest
    training: Sequence[tables.SiloRows]
    test: Sequence[tables.SiloRows]
    planted: frozenset[str]

    @property
    def sizes(self) -> dict[str, int]:
        """Training rows of each silo."""
        return {silo.name: len(silo.labels) for silo in self.training}


@functools.cache
def source_table(source: str, split: str) -> tables.Table:
    """Returns the rows of a source; those without a company are left out of the taxi rides.

    Args:
        source: One of `manifests.SOURCES`.
        split: One of `tables.SPLITS`.
    """
    if source == "flights":
        flights = tables.load_flights()
        held_out = tables.held_out_flights(flights, split)
        features = tables.flight_features(flights, ~held_out)
        labels, silos = flights[flights_data.LABEL_KEY], flights[flights_data.SILO_KEY]
    else:
        rides = tables.load_rides()
        rides = rides[rides[taxi_data.SILO_KEY].notna()].reset_index(drop=True)
        held_out = tables.held_out_rides(rides, split)
        features = tables.ride_features(rides, ~held_out)
        labels, silos = rides[taxi_data.LABEL_KEY], rides[taxi_data.SILO_KEY]
    return tables.Table(features, labels.to_numpy(np.float32), silos.to_numpy(np.str_), held_out)


def make(manifest: manifests.Manifest) -> Population:
    """Makes the population of a manifest.

    Args:
        manifest: With or without a checksum.

    Raises:
        OtherRowsError: The manifest has a checksum, and the rows that were made have another one.
    """
    population = of_table(source_table(manifest.source, manifest.split), manifest)
    if manifest.checksum not in ("", population.manifest.checksum):
        raise OtherRowsError(
            f"the manifest's rows have the checksum {manifest.checksum}, those made here "
            f"{population.manifest.checksum}: NumPy or the source is of another release"
        )
    return population


def of_table(table: tables.Table, manifest: manifests.Manifest) -> Population:
    """Makes the population of a manifest from given rows.

    Args:
        table: The rows of the manifest's source.
        manifest: What to make; its source and checksum are not looked at.
    """
    generator = np.random.default_rng(manifest.seed)
    draw = _natural if manifest.family.silos is None else _controlled
    training, test = draw(table, manifest, generator)
    shifted = _chosen(sorted(training), manifest.family.shifted_share, generator)
    silos = {
        name: [
            tables.SiloRows(name, table.features[rows], _labels(table, rows, name in shifted))
            for rows in (training[name], test[name])
        ]
        for name in sorted(training)
    }
    trained, planted = _plant([rows for rows, _ in silos.values()], manifest.family, generator)
    held_out = [rows for _, rows in silos.values()]
    found = checksum(trained, held_out)
    return Population(dataclasses.replace(manifest, checksum=found), trained, held_out, planted)


def checksum(training: Sequence[tables.SiloRows], test: Sequence[tables.SiloRows]) -> str:
    """Returns the SHA-256 of all names and values, in hexadecimal."""
    digest = hashlib.sha256()
    for silos in (training, test):
        for silo in silos:
            digest.update(f"{silo.name}\0{silo.features.shape}\0".encode())
            digest.update(np.ascontiguousarray(silo.features, np.float32).tobytes())
            digest.update(np.ascontiguousarray(silo.labels, np.float32).tobytes())
    return digest.hexdigest()


def with_validation(silos: Sequence[tables.SiloRows], seed: int) -> tuple[list[tables.SiloRows], list[tables.SiloRows]]:
    """Splits training rows into those to train on and those to choose an epoch by.

    A silo of fewer than five rows chooses by the rows that it trains on.

    Args:
        silos: Training rows of each silo.
        seed: Decides which rows.

    Returns:
        Rows to train on, and rows to choose by, of the same silos.
    """
    training, validation = [], []
    for silo in silos:
        order = row_order(silo, seed)
        count = int(VALIDATION_SHARE * len(order))
        training.append(part(silo, np.sort(order[count:])))
        validation.append(part(silo, np.sort(order[:count] if count else order)))
    return training, validation


def row_order(silo: tables.SiloRows, seed: int) -> Indices:
    """Returns the silo's rows in an order by chance, whatever other silos there are; equal silos have equal orders."""
    return np.random.default_rng([seed, len(silo.labels)]).permutation(len(silo.labels))


def part(silo: tables.SiloRows, rows: npt.NDArray[np.integer]) -> tables.SiloRows:
    """Returns some rows of a silo."""
    return tables.SiloRows(silo.name, silo.features[rows], silo.labels[rows])


def _natural(
    table: tables.Table, manifest: manifests.Manifest, generator: np.random.Generator
) -> tuple[dict[str, Indices], dict[str, Indices]]:
    """Draws a share of the rows of each silo of the source."""
    family = manifest.family
    share = 1.0 if family.rows is None else min(1.0, family.rows / int((~table.is_held_out).sum()))
    training, test = {}, {}
    for name in np.unique(table.silos[~table.is_held_out]):
        is_own = table.silos == name
        training[str(name)] = _share(np.flatnonzero(is_own & ~table.is_held_out), share, family.least_rows, generator)
        held_out = np.flatnonzero(is_own & table.is_held_out)
        test[str(name)] = _share(held_out, manifest.evaluation_share, manifest.least_evaluation_rows, generator)
    return training, test


def _share(rows: Indices, share: float, least: int, generator: np.random.Generator) -> Indices:
    count = min(len(rows), max(least, round(share * len(rows))))
    return np.sort(generator.permutation(rows)[:count])


def _controlled(
    table: tables.Table, manifest: manifests.Manifest, generator: np.random.Generator
) -> tuple[dict[str, Indices], dict[str, Indices]]:
    """Draws silos of given sizes and mixtures; the mixture of a silo is the same in training and evaluation."""
    family = manifest.family
    assert family.silos is not None
    width = len(str(family.silos - 1))
    names = [f"silo {number:0{width}d}" for number in range(family.silos)]
    pools = {is_test: _Pool(table, table.is_held_out == is_test, generator) for is_test in (False, True)}
    sizes = zipf_sizes(family.silos, family.rows or pools[False].rows, family.size_skew, family.least_rows)
    sizes = generator.permutation(sizes)
    ratio = manifest.evaluation_share * pools[True].rows / pools[False].rows
    training, test = {}, {}
    for name, size in zip(names, sizes, strict=True):
        mixture = pools[False].mixture(family, generator)
        training[name] = pools[False].draw(int(size), mixture, generator)
        count = max(manifest.least_evaluation_rows, round(ratio * int(size)))
        test[name] = pools[True].draw(count, mixture, generator)
    return training, test


class _Pool:
    """The rows of a split by label and natural silo. Each row is drawn once before any is drawn again."""

    def __init__(self, table: tables.Table, rows: tables.Mask, generator: np.random.Generator) -> None:
        self.rows = int(rows.sum())
        names = np.unique(table.silos)
        cell = np.searchsorted(names, table.silos) * 2 + (table.labels > 0)
        self._cells = [
            generator.permutation(np.flatnonzero(rows & (cell == number))) for number in range(2 * len(names))
        ]
        self._next = np.zeros(len(self._cells), np.int64)
        self._counts = np.array([len(rows) for rows in self._cells]).reshape(len(names), 2)

    def mixture(self, family: manifests.Family, generator: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draws a silo's share of each natural silo and label, [natural silos, 2]."""
        joint = self._counts / self._counts.sum()
        if family.feature_skew is not None:
            groups = joint.sum(axis=1)
            joint = joint / groups[:, np.newaxis] * _dirichlet(family.feature_skew, groups, generator)[:, np.newaxis]
        if family.label_skew is not None:
            labels = joint.sum(axis=0)
            joint = joint / labels * _dirichlet(family.label_skew, labels, generator)
        return joint / joint.sum()

    def draw(self, size: int, mixture: npt.NDArray[np.float64], generator: np.random.Generator) -> Indices:
        """Draws rows in the shares of a mixture; a cell without rows gives none, and the others more."""
        chances = np.where(self._counts.ravel() > 0, mixture.ravel(), 0.0)
        counts = generator.multinomial(size, chances / chances.sum())
        drawn = []
        for cell in np.flatnonzero(counts):
            rows = self._cells[cell]
            drawn.append(rows[(self._next[cell] + np.arange(counts[cell])) % len(rows)])
            self._next[cell] += counts[cell]
        return np.sort(np.concatenate(drawn))


def _dirichlet(
    concentration: float, base: npt.NDArray[np.float64], generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draws shares around a base; never all zero, which a tiny concentration would round to."""
    drawn = generator.dirichlet(np.maximum(concentration * base, 1e-3))
    return np.maximum(drawn, 1e-9)


def zipf_sizes(silos: int, rows: int, exponent: float, least: int) -> Indices:
    """Returns sizes that fall as rank ** -exponent and sum to the rows, largest first.

    Args:
        silos: How many.
        rows: Their sum.
        exponent: At least 0.
        least: Rows of each silo at least, as long as the rows suffice.
    """
    least = min(least, rows // silos)
    weights = np.arange(1, silos + 1, dtype=np.float64) ** -exponent
    exact = (rows - least * silos) * weights / weights.sum()
    sizes = np.floor(exact).astype(np.int64)
    # Rows that rounding down left go to the largest remainders.
    sizes[np.argsort(sizes - exact, kind="stable")[: rows - least * silos - int(sizes.sum())]] += 1
    return np.sort(sizes + least)[::-1]


def _labels(table: tables.Table, rows: Indices, is_shifted: bool) -> tables.Matrix:
    labels = table.labels[rows]
    return 1 - labels if is_shifted else labels


def _chosen(names: Sequence[str], share: float, generator: np.random.Generator) -> list[str]:
    return sorted(generator.permutation(names)[: round(share * len(names))].tolist())


def _plant(
    silos: list[tables.SiloRows], family: manifests.Family, generator: np.random.Generator
) -> tuple[list[tables.SiloRows], frozenset[str]]:
    if not family.planted:
        return silos, frozenset()
    if family.planted not in PLANTED:
        raise ValueError(f"planted is {family.planted!r}; it must be one of {', '.join(PLANTED)}")
    behaviour: Callable[..., behaviours.Planted] = PLANTED[family.planted]
    chosen = _chosen([silo.name for silo in silos], family.planted_share, generator)
    planted = behaviour(silos, chosen, generator)
    return list(planted.silos), planted.planted
