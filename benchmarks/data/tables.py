"""All rows of a data set as arrays, with the natural silo of each row and whether it is for evaluation.

How rows are split decides what is measured. By whole days (a row split would let a model recognise the day), the days
drawn from the whole year; or forward in time, where the model meets a season that it has not seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pipelines.flights import data as flights_data
from pipelines.flights import flights_module
from pipelines.taxi import data as taxi_data
from pipelines.taxi import taxi_module

from benchmarks.data import sources

Matrix = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SPLITS = ("whole_days", "forward_in_time")
# The share of the days that evaluation has, in the forward split too: 110 of the 365 days of the flights.
_FORWARD_SHARE = 110 / 365


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
    is_held_out: Mask


def load_flights() -> pd.DataFrame:
    """Returns `pipelines.flights.data.load_flights()`, the source checked."""
    sources.check_flights()
    return flights_data.load_flights()


def load_rides() -> pd.DataFrame:
    """Returns `pipelines.taxi.data.load_rides()`, the source checked."""
    sources.check_taxi()
    return taxi_data.load_rides()


def held_out_flights(flights: pd.DataFrame, split: str) -> Mask:
    """Returns which flights are for evaluation, [rows].

    Args:
        flights: All flights.
        split: One of `SPLITS`.

    Raises:
        ValueError: The split is unknown.
    """
    _require_split(split)
    if split == "forward_in_time":
        return _last_days(flights["date"])
    return flights["date"].isin(flights_data.eval_dates(flights["date"])).to_numpy(np.bool_)


def held_out_rides(rides: pd.DataFrame, split: str) -> Mask:
    """Returns which rides are for evaluation, [rows].

    Args:
        rides: All rides.
        split: One of `SPLITS`.

    Raises:
        ValueError: The split is unknown.
    """
    _require_split(split)
    if split == "forward_in_time":
        return _last_days(rides["day"])
    return rides["day"].map(taxi_data.is_eval_day).to_numpy(np.bool_)


def flight_features(flights: pd.DataFrame, fitted: Mask) -> Matrix:
    """Returns the features of flights, as `flights_module.preprocessing_fn` makes them, [rows, features].

    Args:
        flights: The flights.
        fitted: The rows from which means, deviations and frequent names are taken, [rows].
    """
    numbers = [
        np.log1p(flights_module.LOGARITHMIC.get(name, 0.0) * flights[name])
        if name in flights_module.LOGARITHMIC
        else flights[name]
        for name in flights_module.NUMBERS
    ]
    known = [flights[name].notna().to_numpy(np.float32) for name in flights_module.INDICATED]
    one_hots = _one_hots(flights, fitted, flights_module.CODES, flights_module.NAMES)
    return np.column_stack([_standardised(numbers, fitted), *known, *one_hots])


def ride_features(rides: pd.DataFrame, fitted: Mask) -> Matrix:
    """Returns the features of taxi rides, as `taxi_module.preprocessing_fn` makes them, [rows, features].

    Args:
        rides: The rides.
        fitted: The rows from which means, deviations and frequent names are taken, [rows].
    """
    numbers = [np.log1p(rides[name]) for name in taxi_module.NUMBERS]
    one_hots = _one_hots(rides, fitted, taxi_module.CODES, taxi_module.NAMES)
    return np.column_stack([_standardised(numbers, fitted), *one_hots])


def _require_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} is unknown; choose one of {', '.join(SPLITS)}")


def _last_days(day: pd.Series[Any]) -> Mask:
    days = np.sort(day.unique())
    first = days[len(days) - round(_FORWARD_SHARE * len(days))]
    return (day >= first).to_numpy(np.bool_)


def _standardised(numbers: Sequence[pd.Series[Any]], fitted: Mask) -> Matrix:
    columns = np.column_stack([column.to_numpy(np.float64, na_value=np.nan) for column in numbers])
    scaled = (columns - np.nanmean(columns[fitted], axis=0)) / np.nanstd(columns[fitted], axis=0)
    return np.clip(np.nan_to_num(scaled), -4.0, 4.0).astype(np.float32)


def _one_hots(rows: pd.DataFrame, fitted: Mask, codes: Mapping[str, int], names: Mapping[str, int]) -> list[Matrix]:
    one_hots = [
        rows[name].to_numpy(np.float64, na_value=-1)[:, np.newaxis] == np.arange(size) for name, size in codes.items()
    ]
    for name, size in names.items():
        frequent = rows[name][fitted].value_counts().index[:size].to_numpy()
        one_hots.append(rows[name].to_numpy()[:, np.newaxis] == frequent)
    return [one_hot.astype(np.float32) for one_hot in one_hots]
