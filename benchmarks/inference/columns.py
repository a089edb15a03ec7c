"""The columns of the scored rows: those of the flights that a network takes, and the silos."""

from __future__ import annotations

# What the networks take.
NUMERIC = {
    "month": "int64",
    "weekday": "int64",
    "scheduled_hour": "int64",
    "distance": "float32",
    "temperature": "float32",
    "humidity": "float32",
    "wind_speed": "float32",
    "pressure": "float32",
    "visibility": "float32",
    "plane_age": "float32",
    "seats": "float32",
}
# Roughly the largest value of each.
SCALES = {
    "month": 12.0,
    "weekday": 7.0,
    "scheduled_hour": 24.0,
    "distance": 5000.0,
    "temperature": 100.0,
    "humidity": 100.0,
    "wind_speed": 40.0,
    "pressure": 1050.0,
    "visibility": 10.0,
    "plane_age": 50.0,
    "seats": 400.0,
}
TEXTS = ("carrier", "origin", "dest")
SILO_KEY = "carrier"
# A second silo key, with a row for each of many silos.
PERSONAL_SILO_KEY = "customer"
PERSONAL_SILOS = 10_000
# File of the weights before the heads, then kernels and biases of all heads in the order of the silos.
PERSONAL_WEIGHTS = "personal.npz"


def personal_silos() -> list[str]:
    """Returns the silos that have a head of their own."""
    return [f"customer {number}" for number in range(PERSONAL_SILOS)]
