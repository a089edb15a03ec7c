"""Real rows as silos of unequal size: flights by airline and airport, taxi rides by company and area."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pipelines.flights import data as flights_data
from pipelines.flights import flights_module
from pipelines.taxi import data as taxi_data
from pipelines.taxi import taxi_module

Matrix = npt.NDArray[np.float32]

# Rows of the honest silos: log-normal, as companies differ by orders of magnitude.
_MEDIAN_ROWS = 300.0
_SPREAD = 1.2
_FEWEST_ROWS = 20


@dataclasses.dataclass(frozen=True)
class SiloRows:
    """The training rows of one silo.

    Attributes:
        name: Name of the silo.
        features: [rows, features].
        labels: 0 or 1, [rows].
    """

    name: str
    features: Matrix
    labels: Matrix


@dataclasses.dataclass(frozen=True)
class Table:
    """All rows of a data set.

    Attributes:
        features: [rows, features].
        labels: 0 or 1, [rows].
        silos: Name of the silo, [rows].
        is_held_out: Whether the row is for evaluation, by whole days, [rows].
    """

    features: Matrix
    labels: Matrix
    silos: npt.NDArray[np.str_]
    is_held_out: npt.NDArray[np.bool_]


@functools.cache
def flights() -> Table:
    """Returns the flights; a silo is what an airline flies from one of the three airports."""
    rows = flights_data.load_flights()
    held_out = rows["date"].isin(flights_data.eval_dates(rows["date"])).to_numpy()
    numbers = [
        np.log1p(flights_module.LOGARITHMIC.get(name, 0.0) * rows[name])
        if name in flights_module.LOGARITHMIC
        else rows[name]
        for name in flights_module.NUMBERS
    ]
    known = [rows[name].notna().to_numpy(np.float32) for name in flights_module.INDICATED]
    features = np.column_stack(
        [_standardised(numbers), *known, *_one_hots(rows, flights_module.CODES, flights_module.NAMES)]
    )
    silos = (rows["carrier"] + " " + rows["origin"]).to_numpy(np.str_)
    return Table(features, rows[flights_data.LABEL_KEY].to_numpy(np.float32), silos, held_out)


@functools.cache
def taxi(hidden_payments: float = 0.0) -> Table:
    """Returns the taxi rides; a silo is what a company, or a driver without one, picks up in one area.

    Args:
        hidden_payments: Share of the rides, drawn at random, whose way of payment is made unknown. With it a model
            tells almost every generous tip, without it hardly one: this sets how much there is to learn.
    """
    rides = taxi_data.load_rides()
    hidden = np.random.default_rng(0).random(len(rides)) < hidden_payments
    rides["payment_type"] = rides["payment_type"].mask(hidden, "hidden")
    numbers = [np.log1p(rides[name]) for name in taxi_module.NUMBERS]
    features = np.column_stack([_standardised(numbers), *_one_hots(rides, taxi_module.CODES, taxi_module.NAMES)])
    area = rides["pickup_community_area"].astype(str)
    silos = (rides["company"].fillna("no company") + " " + area).to_numpy(np.str_)
    held_out = rides["day"].map(taxi_data.is_eval_day).to_numpy(np.bool_)
    return Table(features, rides[taxi_data.LABEL_KEY].to_numpy(np.float32), silos, held_out)


TABLES: dict[str, Callable[[], Table]] = {
    "flights": flights,
    "taxi": taxi,
    "taxi_half_hidden": functools.partial(taxi, hidden_payments=0.5),
    "taxi_mostly_hidden": functools.partial(taxi, hidden_payments=0.7),
}


def draw(table: Table, generator: np.random.Generator) -> list[SiloRows]:
    """Draws a federation: every silo with enough training rows, each cut to a size of its own.

    Sizes are drawn apart from the silos' own, so that no airline is always the small one.

    Args:
        table: The rows.
        generator: Decides sizes and rows.
    """
    silos = []
    for name in np.unique(table.silos):
        rows = np.flatnonzero((table.silos == name) & ~table.is_held_out)
        size = int(generator.lognormal(np.log(_MEDIAN_ROWS), _SPREAD))
        if len(rows) >= _FEWEST_ROWS:
            kept = generator.permutation(rows)[: max(size, _FEWEST_ROWS)]
            silos.append(SiloRows(str(name), table.features[kept], table.labels[kept]))
    return silos


def _standardised(numbers: Sequence[pd.Series]) -> Matrix:
    columns = np.column_stack([column.to_numpy(np.float64, na_value=np.nan) for column in numbers])
    scaled = (columns - np.nanmean(columns, axis=0)) / np.nanstd(columns, axis=0)
    return np.clip(np.nan_to_num(scaled), -4.0, 4.0).astype(np.float32)


def _one_hots(rows: pd.DataFrame, codes: Mapping[str, int], names: Mapping[str, int]) -> list[Matrix]:
    one_hots = [
        rows[name].to_numpy(np.float64, na_value=-1)[:, np.newaxis] == np.arange(size) for name, size in codes.items()
    ]
    for name, size in names.items():
        frequent = rows[name].value_counts().index[:size].to_numpy()
        one_hots.append(rows[name].to_numpy()[:, np.newaxis] == frequent)
    return [one_hot.astype(np.float32) for one_hot in one_hots]
