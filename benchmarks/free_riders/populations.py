"""Real rows as silos of unequal size: flights by airline and airport, taxi rides by company and area."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from pipelines.flights import data as flights_data
from pipelines.taxi import data as taxi_data

from benchmarks.data import tables

# Rows of the honest silos: log-normal, as companies differ by orders of magnitude.
_MEDIAN_ROWS = 300.0
_SPREAD = 1.2
_FEWEST_ROWS = 20


@functools.cache
def flights() -> tables.Table:
    """Returns the flights; a silo is what an airline flies from one of the three airports."""
    rows = tables.load_flights()
    features = tables.flight_features(rows, np.ones(len(rows), np.bool_))
    silos = (rows["carrier"] + " " + rows["origin"]).to_numpy(np.str_)
    held_out = tables.held_out_flights(rows, "whole_days")
    return tables.Table(features, rows[flights_data.LABEL_KEY].to_numpy(np.float32), silos, held_out)


@functools.cache
def taxi(hidden_payments: float = 0.0) -> tables.Table:
    """Returns the taxi rides; a silo is what a company, or a driver without one, picks up in one area.

    Args:
        hidden_payments: Share of the rides, drawn at random, whose way of payment is made unknown. With it a model
            tells almost every generous tip, without it hardly one: this sets how much there is to learn.
    """
    rides = tables.load_rides()
    hidden = np.random.default_rng(0).random(len(rides)) < hidden_payments
    rides["payment_type"] = rides["payment_type"].mask(hidden, "hidden")
    features = tables.ride_features(rides, np.ones(len(rides), np.bool_))
    area = rides["pickup_community_area"].astype(str)
    silos = (rides["company"].fillna("no company") + " " + area).to_numpy(np.str_)
    held_out = tables.held_out_rides(rides, "whole_days")
    return tables.Table(features, rides[taxi_data.LABEL_KEY].to_numpy(np.float32), silos, held_out)


TABLES: dict[str, Callable[[], tables.Table]] = {
    "flights": flights,
    "taxi": taxi,
    "taxi_half_hidden": functools.partial(taxi, hidden_payments=0.5),
    "taxi_mostly_hidden": functools.partial(taxi, hidden_payments=0.7),
}


def draw(table: tables.Table, generator: np.random.Generator) -> list[tables.SiloRows]:
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
            silos.append(tables.SiloRows(str(name), table.features[kept], table.labels[kept]))
    return silos
