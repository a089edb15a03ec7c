"""The taxi rides of TFX's own example as CSV files for CsvExampleGen: one row a ride, split by whole days.

The source is the file that ships with TFX (Apache License 2.0). It has no label; the rides get one here, where every
component that reads raw rows can see it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pathlib
import shutil

import pandas as pd

LABEL_KEY = "generous_tip"
SILO_KEY = "company"
SPLITS = ("train", "eval")
RIDES = 15_002
EVAL_SHARE = 0.3
TIP_SHARE = 0.2

COLUMNS = (
    "company",
    "trip_start_month",
    "trip_start_day",
    "trip_start_hour",
    "trip_miles",
    "trip_seconds",
    "fare",
    "payment_type",
    "pickup_community_area",
    "dropoff_community_area",
    "generous_tip",
)
# Integers that some rides lack: pandas would write them as decimals.
_CODES = ("pickup_community_area", "dropoff_community_area")

_SOURCE = "examples/chicago_taxi_pipeline/data/simple/data.csv"
_SECONDS_A_DAY = 86_400


def source_file() -> pathlib.Path:
    """Returns the file inside the installed TFX, without importing TFX.

    Raises:
        ValueError: TFX is not installed.
    """
    specification = importlib.util.find_spec("tfx")
    if specification is None or not specification.submodule_search_locations:
        raise ValueError("the taxi data comes with TFX, which is not installed: pip install 'tfx-federated[tfx]'")
    return pathlib.Path(specification.submodule_search_locations[0], _SOURCE)


def load_rides() -> pd.DataFrame:
    """Reads all rides.

    Returns:
        15,002 rows with the columns `COLUMNS`, and `day` (days since 1970), which is for splitting only. Units are
        those of the source: miles, seconds, US dollars. The label is 1 where the tip is above 20 % of the fare. A third
        of the rows have no company.

    Raises:
        ValueError: The file is not the one that TFX 1.21 ships.
    """
    rides = pd.read_csv(source_file())
    if len(rides) != RIDES:
        raise ValueError(f"{source_file().name} of TFX has {len(rides)} rides, expected {RIDES}: install tfx 1.21")
    rides[LABEL_KEY] = (rides["tips"] > TIP_SHARE * rides["fare"]).astype("int64")
    rides["day"] = rides["trip_start_timestamp"] // _SECONDS_A_DAY
    rides = rides.astype(dict.fromkeys(_CODES, "Int64") | {"trip_seconds": "float64", "trip_miles": "float64"})
    return rides[[*COLUMNS, "day"]]


def is_eval_day(day: int) -> bool:
    """Whether the rides of a day are for evaluation: those of 30 % of the days, chosen by a hash."""
    digest = hashlib.blake2b(str(day).encode("ascii"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < int(EVAL_SHARE * 2**64)


def prepare(folder: str | os.PathLike[str]) -> dict[str, int]:
    """Writes `<split>/rides.csv` for each split, and `dataset.json`, unless the folder already holds them.

    Args:
        folder: Where to write. It is there whole or not at all.

    Returns:
        The number of rows per split.

    Raises:
        ValueError: The folder holds something else, or the source is not what is expected.
    """
    target = pathlib.Path(folder)
    if (target / "dataset.json").exists():
        return json.loads((target / "dataset.json").read_text(encoding="utf-8"))
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"folder: {target} holds files that are no taxi data set; name another folder")
    rides = load_rides()
    is_eval = rides["day"].map(is_eval_day)
    splits = {"train": rides[~is_eval], "eval": rides[is_eval]}
    rows = {split: len(part) for split, part in splits.items()}
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        for split, part in splits.items():
            (partial / split).mkdir(parents=True)
            part[list(COLUMNS)].to_csv(partial / split / "rides.csv", index=False)
        (partial / "dataset.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return rows
